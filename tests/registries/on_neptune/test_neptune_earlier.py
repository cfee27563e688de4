"""What another system wrote is read as it is: every kind of attribute, hostile names, sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from neptune_server import NeptuneServer
from neptune_server.samples import earlier

from modelkiln import ModelkilnError, registries
from modelkiln.files import relative_files
from modelkiln.registries import Ref, Version, neptune
from modelkiln.sources import registry as source

A = "model/model_artifacts"
WHOLE = {
    "model/model_card": b'{"name": "old"}',
    f"{A}/model.safetensors": b"weights",
    f"{A}/1_Pooling/config.json": b"{}",
    f"{A}/empty": b"",
    "model/test_files/inputs": b'["text"]',
    "model/test_files/inference_params": b"[{}]",
    "model/test_files/predictions": b"[]",
    "model/model_artifacts_old/x": b"no part of it",
    "training/log.txt": b"no part of it either",
}


def first(options: neptune.Options) -> Version:
    return neptune.resolve(Ref("neptune", "KEYB", version="1"), options)


def test_version_of_another_system_is_fetched_as_it_is(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    held = earlier(server.state, WHOLE)
    held.set("sys/stage", "string", "production")
    version = neptune.resolve(Ref("neptune", "PROJ-KEYB", alias="champion"), options)
    assert (version.ref, version.digest, version.kind) == ("neptune:KEYB/1", "", "trained")
    registries.fetch_verified(version, tmp_path / "fetched", options)
    found = {name: (tmp_path / "fetched" / name).read_bytes() for name in relative_files(tmp_path / "fetched")}
    assert found == {
        "card.json": b'{"name": "old"}',
        "model/model.safetensors": b"weights",
        "model/1_Pooling/config.json": b"{}",
        "model/empty": b"",
        "golden/inputs.json": b'["text"]',
        "golden/inference_params.json": b"[{}]",
        "golden/predictions.json": b"[]",
    }


def test_source_registry_takes_the_model_with_its_golden_samples(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    earlier(server.state, WHOLE)
    (tmp_path / "source").mkdir()
    ref, _ = source.fetch(tmp_path / "source", source.Options("neptune", "KEYB", version=1), [])
    assert ref == "neptune:KEYB/1"
    assert {"model.safetensors", "golden/inputs.json", "card.json"} <= set(relative_files(tmp_path / "source"))


def test_card_says_where_things_are(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    card = {"model_artifact_attribute_path": "weights/v2", "model_test_files": "golden"}
    files = {"weights/v2/model.bin": b"x", "golden/inputs": b"[]", f"{A}/other.bin": b"y"}
    held = earlier(server.state, files)
    held.set("model/model_card", "string", json.dumps(card))  # a text, for a change
    registries.fetch_verified(first(options), tmp_path / "fetched", options)
    assert relative_files(tmp_path / "fetched") == ["card.json", "golden/inputs.json", "model/model.bin"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"{A}/../../etc/passwd"], "leads out of the folder"),
        ([f"{A}/.."], "leads out of the folder"),
        ([f"{A}/C:\\windows"], "leads out of the folder"),
        ([f"{A}/Model.bin", f"{A}/model.bin"], "are one file where case or accents make no difference"),
        ([f"{A}/a", f"{A}/a/b"], "already defined as an attribute|is a namespace"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(
    names: list[str], message: str, server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    earlier(server.state, {f"{A}/model.safetensors": b"x", **dict.fromkeys(names, b"evil")})
    with pytest.raises(ModelkilnError, match=message):
        registries.fetch_verified(first(options), tmp_path / "fetched", options)
    assert not (tmp_path / "fetched").exists()


def test_absolute_name_stays_inside(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    """The client takes the slashes for one."""
    held = earlier(server.state, {f"{A}/model.safetensors": b"x", f"{A}/etc/passwd": b"evil"})
    held.attributes[f"{A}//etc/passwd"] = held.attributes.pop(f"{A}/etc/passwd")
    try:
        registries.fetch_verified(first(options), tmp_path / "fetched", options)
    except ModelkilnError as error:
        assert "\n" not in str(error)  # noqa: PT017  the server does not know the name that the client asks for
        assert not (tmp_path / "fetched").exists()
    else:
        assert relative_files(tmp_path / "fetched/model") == ["etc/passwd", "model.safetensors"]


def test_download_of_a_version_without_digest_is_held_to_its_size(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    earlier(server.state, {f"{A}/model.safetensors": b"weights"})
    version = first(options)
    server.fail("downloadAttribute", "cut quietly")
    with pytest.raises(ModelkilnError, match=r"model\.safetensors': 3 bytes came, expected 7; try again"):
        registries.fetch_verified(version, tmp_path / "fetched", options)
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("held", [b"{", b"[1]", b'{"model_artifact_attribute_path": 5}'])
def test_card_that_is_none_is_one_line(held: bytes, server: NeptuneServer, options: neptune.Options) -> None:
    earlier(server.state, {"model/model_card": held, f"{A}/model.safetensors": b"x"})
    with pytest.raises(ModelkilnError, match="PROJ-KEYB-1") as raised:
        first(options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({f"{A}/model.pt": b"x", f"{A}/config.json": b"{}"}, "legacy"),
        ({f"{A}/model.pt": b"x", f"{A}/pytorch_model.bin": b"x"}, "trained"),
        ({f"{A}/model.pt": b"x", "model/compiled_model_versions": b"[]"}, "trained"),
        ({f"{A}/anything": b"x"}, "trained"),
    ],
)
def test_kind_of_an_earlier_version_is_told_by_its_files(
    files: dict[str, bytes], kind: str, server: NeptuneServer, options: neptune.Options
) -> None:
    earlier(server.state, files)
    assert first(options).kind == kind


def test_version_without_a_model_is_not_complete(server: NeptuneServer, options: neptune.Options) -> None:
    earlier(server.state, {"training/log.txt": b"x"})
    earlier(server.state, {})
    assert neptune.versions("KEYB", options) == []
    with pytest.raises(ModelkilnError, match="PROJ-KEYB-2 was never completed"):
        neptune.resolve(Ref("neptune", "KEYB", version="2"), options)


def test_files_of_a_kind_that_is_no_file_are_refused(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    held = earlier(server.state, {f"{A}/model.safetensors": b"x"})
    held.set(f"{A}/number", "int", 5)
    with pytest.raises(ModelkilnError, match="number' is a Integer, expected a File or an Artifact in S3"):
        registries.fetch_verified(first(options), tmp_path / "fetched", options)
