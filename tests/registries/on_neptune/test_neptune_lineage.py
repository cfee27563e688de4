"""The lineage of a version that Neptune holds, signed, and of the trained model in MLflow that it was compiled from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from earned import earned
from keys import key_pair
from neptune_server import NeptuneServer
from neptune_server.samples import trained
from sealed import SOURCE, seal_artifact

from modelkiln import contents, registration, registries, signing
from modelkiln.bounds import STRICT
from modelkiln.files import to_json, write_text
from modelkiln.lineage import Unknown
from modelkiln.lineage.comparison import verify_provenance
from modelkiln.lineage.statement import make_statement
from modelkiln.lineage.trace import trace
from modelkiln.params import Upload
from modelkiln.registries import neptune
from modelkiln.verdict import Verdict

pytestmark = pytest.mark.heavy
GOLDEN = {name: [] for name in contents.GOLDEN}


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path, "team")


@pytest.fixture
def digest(
    server: NeptuneServer,
    options: neptune.Options,
    tmp_path: Path,
    keys: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Of an artifact that was compiled from KEYB/1 and is registered as KEYWORDS/1, signed."""
    monkeypatch.setenv("MODELKILN_SIGNING_KEY", str(keys[0]))
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", *command], check=True)
    source = neptune.register(trained(tmp_path / "trained"), options)
    revision = {**SOURCE, "variant": "trained", "source": "registry", "id": source.ref, "revision": source.digest}
    manifest = seal_artifact(tmp_path / "artifacts/compiled", source=revision)
    verdict = earned(manifest)
    params = Upload("neptune", "modelkiln-dev", "KEYWORDS", "champion")
    registration.upload(tmp_path / "artifacts/compiled", verdict, STRICT, GOLDEN, params)
    return manifest.digest


def test_version_in_neptune_tells_its_lineage(server: NeptuneServer, digest: str, tmp_path: Path) -> None:
    chain = trace("neptune:KEYWORDS@champion")
    assert chain.digest == digest
    assert isinstance(chain.verdict, Verdict)
    # The source's files, too, though nothing of it is here: the registry lists them.
    assert isinstance(chain.source_files, dict)
    assert {"config.json", "model.safetensors"} <= set(chain.source_files)
    assert isinstance(chain.source_version, registries.Version)
    assert (chain.source_version.ref, chain.source_version.compiled) == ("neptune:KEYB/1", ("neptune:KEYWORDS/1",))
    assert chain.notes == ()
    held = {each.registry: each.versions for each in chain.held}
    assert isinstance(held["mlflow"], Unknown)
    (version,) = held["neptune"]  # type: ignore[misc]
    assert (version.ref, version.aliases) == ("neptune:KEYWORDS/1", ("champion", "production"))
    # A name that Neptune has not is no fault of Neptune's: the folder is found under the names that the source knows.
    folder = trace("artifacts/compiled")
    assert [each.versions for each in folder.held if each.registry == "neptune"] == [(version,)]


def test_signature_is_held_and_the_statement_holds(
    server: NeptuneServer, digest: str, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    fetched = registries.folder_of("neptune:KEYWORDS/1")
    signing.verify(fetched, keys[1], signing.signature_of(fetched))
    chain = trace("neptune:KEYWORDS/1")
    assert not isinstance(chain.signature, Unknown)
    write_text(tmp_path / "provenance.json", to_json(make_statement(chain)))
    lines = verify_provenance("neptune:KEYWORDS/1", digest, tmp_path / "provenance.json")
    assert lines[-1].endswith("says: artifact, file, git commit, graph, source, toolchain, verdict")
    left = [line.partition(" can't be compared: ")[0] for line in lines[:-1]]
    assert left == [f"neptune:KEYWORDS/1: {part}" for part in ("params", "source files")]


def test_neptune_that_is_down_is_one_line(
    server: NeptuneServer, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEPTUNE_API_TOKEN", "bm90aGluZw==")

    told = ("registry", "location", "name", "version", "digest", "alias")
    receipt = dict(zip(told, ("neptune", server.url, "KEYWORDS", "1", digest, "champion"), strict=True))
    write_text(tmp_path / "receipts/upload.json", to_json(receipt))
    chain = trace("artifacts/compiled")
    assert (chain.digest, chain.receipt) == (digest, receipt)
    (neptune_,) = [each for each in chain.held if each.registry == "neptune"]
    assert isinstance(neptune_.versions, Unknown)
    assert "NEPTUNE_API_TOKEN" in neptune_.versions.reason
