"""A signature says that a key's owner vouches for these very files, and nothing else passes for one."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from earned import earned
from keys import key_pair
from registries.mlflow_places import Place
from sealed import seal_artifact

import modelkiln
from modelkiln import ModelkilnError, contents, registration, registries, signing
from modelkiln.artifact import MANIFEST, content_digest, read_manifest, seal, verify
from modelkiln.bounds import STRICT
from modelkiln.cli.artifacts import verify as verify_command
from modelkiln.cli.lineage import sign as sign_command
from modelkiln.files import relative_files
from modelkiln.params import Upload

GOLDEN = {name: [] for name in contents.GOLDEN}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys: team.pem and team.pub, other.pub, and some that won't do."""
    folder = tmp_path_factory.mktemp("keys")
    key_pair(folder, "team")
    key_pair(folder, "other")
    key_pair(folder, "locked", "open sesame")
    key_pair(folder, "rsa", key=rsa.generate_private_key(65537, 2048))
    key_pair(folder, "curve", key=ec.generate_private_key(ec.SECP256K1()))
    (folder / "text.pem").write_text("no key")
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    seal_artifact(tmp_path / "compiled", {".gitignore": "x", "task/stop_words.json": "{}"})
    return tmp_path / "compiled"


@pytest.fixture
def signed(artifact: Path, keys: Path) -> Path:
    """The signature of the artifact."""
    signing.sign(artifact, keys / "team.pem", signing.signature_of(artifact))
    return artifact.with_name("compiled.sig")


def test_signature_lies_beside_and_holds_for_the_artifact_anywhere(
    artifact: Path, signed: Path, keys: Path, tmp_path: Path
) -> None:
    verify(artifact)  # which refuses what its manifest does not list
    signing.verify(artifact, keys / "team.pub", signed)
    moved = shutil.copytree(artifact, tmp_path / "elsewhere" / "model")
    signing.verify(moved, keys / "team.pub", signed)


def test_command_of_model_signing_accepts_it(keys: Path, tmp_path: Path) -> None:
    """Who gets a model need not have modelkiln to check who it is from."""
    seal_artifact(tmp_path / "model")
    signing.sign(tmp_path / "model", keys / "team.pem", tmp_path / "model.sig")
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(tmp_path / "model")]
    command += ["--signature", str(tmp_path / "model.sig"), "--public_key"]
    good, bad = (
        subprocess.run([*command, str(keys / name)], capture_output=True, text=True, check=False)
        for name in ("team.pub", "other.pub")
    )
    assert (good.returncode, bad.returncode) == (0, 1), good.stdout + good.stderr


def test_every_file_is_signed(artifact: Path, signed: Path, keys: Path) -> None:
    """Also those that model-signing leaves out by itself, and the manifest."""
    assert {".gitignore", MANIFEST} < set(relative_files(artifact))
    for name in relative_files(artifact):
        good = (artifact / name).read_bytes()
        (artifact / name).write_bytes(good + b" ")
        with pytest.raises(ModelkilnError, match=r"refused, .*compiled\.sig is no signature of it.*Hash mismatch"):
            signing.verify(artifact, keys / "team.pub", signed)
        (artifact / name).write_bytes(good)
    (artifact / "more").write_text("x")
    with pytest.raises(ModelkilnError, match="Extra files"):
        signing.verify(artifact, keys / "team.pub", signed)


def test_other_artifact_of_the_same_kind_is_refused(artifact: Path, signed: Path, keys: Path, tmp_path: Path) -> None:
    seal_artifact(tmp_path / "other", {"graphs/encoder.pt": "another graph"})
    with pytest.raises(ModelkilnError, match="other: refused"):
        signing.verify(tmp_path / "other", keys / "team.pub", signed)


def test_other_key_is_refused(artifact: Path, signed: Path, keys: Path) -> None:
    with pytest.raises(ModelkilnError, match=r"no signature of it by .*other\.pub: Key mismatch"):
        signing.verify(artifact, keys / "other.pub", signed)


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edited(text: str) -> str:
        bundle = json.loads(text)
        change(bundle)
        return json.dumps(bundle)

    return edited


def _vouch_for_all(bundle: dict[str, Any]) -> None:
    """Signed for other files, and altered to be about no files at all."""
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"] = []
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "[]", id="no object"),
        pytest.param(lambda _: '{"verificationMaterial": {}}', id="no bundle"),
        pytest.param(_edit(_vouch_for_all), id="payload altered"),
        pytest.param(_edit(lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig="AAAA")), id="signature"),
        pytest.param(_edit(lambda bundle: bundle["dsseEnvelope"].update(signatures=[])), id="no signature"),
        pytest.param(_edit(lambda bundle: bundle.update(mediaType="text/plain")), id="another format"),
    ],
)
def test_altered_signature_is_refused(alter: Callable[[str], str], artifact: Path, signed: Path, keys: Path) -> None:
    signed.write_text(alter(signed.read_text()))
    with pytest.raises(ModelkilnError, match="no signature of it by") as raised:
        signing.verify(artifact, keys / "team.pub", signed)
    assert "\n" not in str(raised.value)


def test_signature_that_leaves_the_manifest_out_is_refused(artifact: Path, keys: Path, tmp_path: Path) -> None:
    """The key's owner may sign by other means; but files that no signed manifest lists could be exchanged."""
    import model_signing

    hashing = model_signing.hashing.Config().set_ignored_paths(paths=[MANIFEST])
    signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=keys / "team.pem")
    signer.set_hashing_config(hashing).sign(artifact, tmp_path / "partial.sig")
    with pytest.raises(ModelkilnError, match=r"Extra files|does not cover manifest\.json"):
        signing.verify(artifact, keys / "team.pub", tmp_path / "partial.sig")


def test_altered_artifact_is_not_signed(artifact: Path, keys: Path, tmp_path: Path) -> None:
    (artifact / "tokenizer.json").write_text("[]")
    with pytest.raises(ModelkilnError, match=r"tokenizer\.json was altered"):
        signing.sign(artifact, keys / "team.pem", tmp_path / "new.sig")
    assert not (tmp_path / "new.sig").exists()


def test_signature_does_not_go_into_the_artifact(artifact: Path, keys: Path) -> None:
    with pytest.raises(ModelkilnError, match="lies in the artifact"):
        signing.sign(artifact, keys / "team.pem", artifact / "graphs" / "new.sig")


def test_files_that_are_links_to_a_cache_are_signed(artifact: Path, keys: Path, tmp_path: Path) -> None:
    """DVC may link them, where it is told to."""
    cached = tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    (artifact / "tokenizer.json").rename(cached)
    (artifact / "tokenizer.json").symlink_to(cached)
    signing.sign(artifact, keys / "team.pem", tmp_path / "new.sig")
    signing.verify(artifact, keys / "team.pub", tmp_path / "new.sig")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.pem", "not there: the private key"),
        ("text.pem", "can't sign with it"),
        ("team.pub", "can't sign with it"),
        ("rsa.pem", "expected an EC key in PEM"),
        ("curve.pem", "Unsupported key for curve 'secp256k1'"),
        ("locked.pem", "its password in MODELKILN_SIGNING_PASSWORD"),
    ],
)
def test_no_key_to_sign_with_is_one_line(name: str, said: str, artifact: Path, keys: Path) -> None:
    with pytest.raises(ModelkilnError, match=said) as raised:
        signing.sign(artifact, keys / name, signing.signature_of(artifact))
    assert "\n" not in str(raised.value)
    assert not signing.signature_of(artifact).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("absent.pub", "not there: the public key"), ("team.pem", "no public key"), ("rsa.pub", "expected an EC key")],
)
def test_no_key_to_verify_with_is_one_line(name: str, said: str, artifact: Path, signed: Path, keys: Path) -> None:
    with pytest.raises(ModelkilnError, match=said):
        signing.verify(artifact, keys / name, signed)


def test_password_comes_from_the_environment(artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKILN_SIGNING_PASSWORD", "open barley")
    with pytest.raises(ModelkilnError, match="Incorrect password"):
        signing.sign(artifact, keys / "locked.pem", signing.signature_of(artifact))
    monkeypatch.setenv("MODELKILN_SIGNING_PASSWORD", "open sesame")
    signing.sign(artifact, keys / "locked.pem", signing.signature_of(artifact))
    signing.verify(artifact, keys / "locked.pub", signing.signature_of(artifact))


def test_without_the_library_it_says_what_to_install(
    artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ModelkilnError, match=r"pip install 'modelkiln\[signing\]'"):
        signing.sign(artifact, keys / "team.pem", signing.signature_of(artifact))


def test_commands_sign_and_verify(
    artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("MODELKILN_SIGNING_KEY", raising=False)
    with pytest.raises(ModelkilnError, match="by --key, or in MODELKILN_SIGNING_KEY"):
        sign_command(artifact)
    monkeypatch.setenv("MODELKILN_SIGNING_KEY", str(keys / "team.pem"))
    sign_command(artifact)
    verify_command(str(artifact), key=keys / "team.pub")
    assert f"{artifact}: signed by the owner of {keys / 'team.pub'}\n" in capsys.readouterr().out
    sign_command(artifact, key=keys / "other.pem", output=tmp_path / "other.sig")
    verify_command(str(artifact), key=keys / "other.pub", signature=tmp_path / "other.sig")
    with pytest.raises(ModelkilnError, match="refused"):
        verify_command(str(artifact), key=keys / "other.pub")
    signing.signature_of(artifact).unlink()
    with pytest.raises(ModelkilnError, match=r"compiled\.sig: not there: the signature; .* name it by --signature"):
        verify_command(str(artifact), key=keys / "team.pub")
    verify_command(str(artifact))


def upload(artifact: Path, place: Place, alias: str = "champion") -> registration.Receipt:
    verdict = earned(read_manifest(artifact))
    options = {"tracking_uri": place.options.tracking_uri, "artifact_root": place.options.artifact_root}
    params = Upload("mlflow", "test", place.name, alias, options=options)
    return registration.upload(artifact, verdict, STRICT, GOLDEN, params)


def test_upload_signs_where_it_has_a_key(
    embedded: Place, artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELKILN_SIGNING_KEY", str(keys / "team.pem"))
    receipt = upload(artifact, embedded)
    assert str(keys) not in json.dumps(receipt)
    ref = f"mlflow:{embedded.name}@champion"
    fetched = registries.folder_of(ref)
    assert signing.signature_of(fetched) == fetched.parent / contents.SIGNATURE
    verify_command(ref, key=keys / "team.pub")
    with pytest.raises(ModelkilnError, match="refused"):
        verify_command(ref, key=keys / "other.pub")
    # The same again, though a new signature has other bytes.
    assert upload(artifact, embedded) == receipt


def test_upload_without_a_key_signs_nothing(
    embedded: Place, artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELKILN_SIGNING_KEY", raising=False)
    upload(artifact, embedded)
    with pytest.raises(ModelkilnError, match=r"model\.sig: not there"):
        verify_command(f"mlflow:{embedded.name}@champion", key=keys / "team.pub")


def test_upload_with_a_key_that_is_none_registers_nothing(
    embedded: Place, artifact: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELKILN_SIGNING_KEY", str(keys / "text.pem"))
    with pytest.raises(ModelkilnError, match="can't sign with it"):
        upload(artifact, embedded)
    assert embedded.numbers() == []


def test_manifest_forged_after_signing_is_refused(artifact: Path, signed: Path, keys: Path) -> None:
    """Sealed anew, it vouches for itself, which is why it is signed."""
    manifest = read_manifest(artifact)
    forged = replace(manifest, source={**manifest.source, "revision": "b" * 64}, digest="")
    data = json.loads((artifact / MANIFEST).read_text())
    data |= {"source": forged.source, "digest": content_digest(forged)}
    (artifact / MANIFEST).write_text(json.dumps(data))
    verify(artifact)
    with pytest.raises(ModelkilnError, match=r"Hash mismatch for 'manifest\.json'"):
        signing.verify(artifact, keys / "team.pub", signed)


def test_load_demands_a_digest_or_a_signature(
    tiny_artifact: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_artifact, tmp_path / "compiled"))
    digest = read_manifest(folder).digest
    modelkiln.load(folder, digest=digest)
    with pytest.raises(ModelkilnError, match=f"its digest is {digest}, expected 000"):
        modelkiln.load(folder, digest="0" * 64)
    with pytest.raises(ModelkilnError, match="not there: the signature"):
        modelkiln.load(folder, key=keys / "team.pub")
    signing.sign(folder, keys / "team.pem", signing.signature_of(folder))
    modelkiln.load(folder, key=keys / "team.pub")
    with pytest.raises(ModelkilnError, match="Key mismatch"):
        modelkiln.load(folder, key=str(keys / "other.pub"))
    monkeypatch.setenv("MODELKILN_LOAD_KEY", str(keys / "other.pub"))
    with pytest.raises(ModelkilnError, match="Key mismatch"):
        modelkiln.load(folder)
    modelkiln.load(folder, key=keys / "team.pub")


def test_artifact_that_a_stranger_has_sealed_is_not_run(keys: Path, tmp_path: Path, tiny_artifact: Path) -> None:
    """TorchScript is code. This one was sealed anew, so that every byte is as its manifest says."""
    folder = Path(shutil.copytree(tiny_artifact, tmp_path / "compiled"))
    signing.sign(folder, keys / "team.pem", signing.signature_of(folder))
    with zipfile.ZipFile(folder / "graphs" / "encoder.pt", "a") as graph:
        graph.writestr("encoder/extra", "x")
    seal(folder, read_manifest(folder))
    with pytest.raises(ModelkilnError, match=r"refused, .*compiled\.sig is no signature of it"):
        modelkiln.load(folder, key=keys / "team.pub")
