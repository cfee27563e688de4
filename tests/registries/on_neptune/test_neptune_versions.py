"""The real Neptune client: what is registered comes back byte for byte, once, under its stage and its links."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from neptune_server import NeptuneServer
from neptune_server.samples import FILES, earlier, model, put, read, trained

import modelkiln
from modelkiln import ModelkilnError, registries
from modelkiln.artifact import read_manifest
from modelkiln.contents import COMPILED
from modelkiln.registries import Ref, Version, neptune

NAMES = {
    **FILES,
    "empty.txt": b"",
    "1_Pooling/config.json": b"{}",
    "Schlüssel/naïve 漢字.txt": "ß".encode(),
    "with space & percent%20?.txt": b"x",
    "no_extension": b"y",
    "model.safetensors.index.json": b"{}",
}


def registered(server: NeptuneServer, text: str, options: neptune.Options, tmp_path: Path) -> Version:
    wanted = trained(tmp_path / text, {"model.safetensors": text.encode()})
    return neptune.register(wanted, options)


def test_version_comes_back_byte_for_byte(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    wanted = trained(tmp_path / "model", NAMES)
    version = neptune.register(wanted, options)
    assert (version.ref, version.location) == ("neptune:KEYB/1", f"{server.url}/team/models")
    registries.fetch_verified(version, tmp_path / "fetched", options)
    for name, data in NAMES.items():
        assert (tmp_path / "fetched/model" / name).read_bytes() == data
    for name, text in wanted.extras.items():
        assert (tmp_path / "fetched" / name).read_text() == text
    assert not (tmp_path / "fetched/card.json").exists()


def test_registering_twice_makes_one_version_and_uploads_once(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model")
    first = neptune.register(wanted, options)
    server.calls.clear()
    again = neptune.register(replace(wanted, tags={"git_commit": "later"}), options)
    assert first == again
    assert again.tags["git_commit"] == "abc"
    assert "fileAtomUpload" not in server.calls
    assert [version.version for version in neptune.versions("KEYB", options)] == ["1"]


def test_version_is_written_in_the_layout_that_users_have(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model")
    neptune.register(wanted, options)
    (version,) = server.state.versions("PROJ-KEYB", "team/models")
    assert {name for name in version.attributes if not name.startswith("sys/")} == {
        "model/model_card",
        "model/model_artifacts/config.json",
        "model/model_artifacts/model.safetensors",
        "model/test_files/inputs",
        "model/test_files/inference_params",
        "model/test_files/predictions",
        "modelkiln/card.md",
        "modelkiln/contents.json",
        "modelkiln/digest",
        "modelkiln/kind",
        "modelkiln/lineage/git_commit",
        "modelkiln/project",
        "modelkiln/status",
    }
    card = json.loads(read(version, "model/model_card"))
    assert card["model_artifact_attribute_path"] == "model/model_artifacts"
    assert card["model_test_files"]["inputs"] == "model/test_files/inputs"
    assert version.value("sys/name") == ""  # and not Untitled
    assert version.value("modelkiln/status") == "complete"


def test_compiled_artifact_is_loaded_by_its_alias(
    server: NeptuneServer, options: neptune.Options, tiny_artifact: Path
) -> None:
    wanted = registries.Registration(
        name="PROJ-KEYB",
        project="test",
        kind=COMPILED,
        digest=read_manifest(tiny_artifact).digest,
        model=tiny_artifact,
        extras={"card.md": "# card\n", "verdict.json": "{}"},
        tags={},
        card="",
    )
    version = neptune.register(wanted, options)
    assert (version.ref, version.kind) == ("neptune:KEYB/1", COMPILED)
    neptune.set_alias(version, "champion", options)
    text = "The tram line opens."
    loaded = modelkiln.load("neptune:KEYB@champion")
    assert loaded.extract_keywords(text) == modelkiln.load(tiny_artifact).extract_keywords(text)
    server.calls.clear()
    modelkiln.load("neptune:KEYB/1")
    assert "downloadAttribute" not in server.calls  # the cache has it


def test_only_what_is_wanted_is_downloaded(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    version = neptune.register(trained(tmp_path / "model"), options)
    (tmp_path / "some").mkdir()
    neptune.fetch(version, tmp_path / "some", options, only=["model/config.json", "card.md", "verdict.json"])
    found = {path.relative_to(tmp_path / "some").as_posix() for path in (tmp_path / "some").rglob("*.*")}
    assert found == {"model/config.json", "card.md"}


def test_alias_moves_and_the_version_before_is_archived(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    one, two = (registered(server, text, options, tmp_path) for text in ("one", "two"))
    neptune.set_alias(one, "champion", options)
    neptune.set_alias(two, "challenger", options)
    neptune.set_alias(two, "champion", options)
    neptune.set_alias(two, "champion", options)
    champion = neptune.resolve(Ref("neptune", "KEYB", alias="champion"), options)
    assert (champion.version, champion.aliases) == ("2", ("champion", "production"))
    assert champion.tags["previous.champion"] == champion.tags["previous.production"] == "1"
    assert next(version.aliases for version in neptune.versions("KEYB", options)) == ("archived",)
    neptune.set_alias(one, "champion", options)  # back
    assert neptune.resolve(Ref("neptune", "KEYB", alias="production"), options).tags["previous.champion"] == "2"
    with pytest.raises(ModelkilnError, match="no complete version of KEYB is in the stage staging"):
        neptune.resolve(Ref("neptune", "KEYB", alias="challenger"), options)


def test_alias_stands_for_one_version_wherever_its_move_breaks_off(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    one, two = (registered(server, text, options, tmp_path) for text in ("one", "two"))
    neptune.set_alias(two, "champion", options)
    for writes in (1, 2):  # of three: what was before, the new one's stage, the old one's stage
        seen: list[str] = []

        def break_off(name: str, moment: str, body: Any, seen: list[str] = seen, writes: int = writes) -> None:
            if name == "executeOperations" and moment == "after":
                seen.append(name)
                if len(seen) == writes:
                    server.fail("executeOperations", times=5)

        server.watch = break_off
        with pytest.raises(ModelkilnError):
            neptune.set_alias(one, "champion", options)
        server.faults.clear()
        server.watch = lambda name, moment, body: None
        assert neptune.resolve(Ref("neptune", "KEYB", alias="champion"), options) == two
    neptune.set_alias(one, "champion", options)
    assert neptune.resolve(Ref("neptune", "KEYB", alias="champion"), options) == one
    assert [version.aliases for version in neptune.versions("KEYB", options)][1] == ("archived",)


def test_alias_that_is_no_stage_lists_those_there_are(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    version = registered(server, "one", options, tmp_path)
    expected = r"expected one of champion \(production\), challenger \(staging\), production, staging, archived"
    with pytest.raises(ModelkilnError, match=expected):
        neptune.set_alias(version, "canary", options)


def test_aliased_version_that_was_deleted_is_one_line(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    version = registered(server, "one", options, tmp_path)
    neptune.set_alias(version, "champion", options)
    (held,) = server.state.versions("PROJ-KEYB", "team/models")
    held.trash()
    with pytest.raises(ModelkilnError, match="no complete version"):
        neptune.resolve(Ref("neptune", "KEYB", alias="champion"), options)
    with pytest.raises(ModelkilnError, match="PROJ-KEYB-1 was never completed, or is in the trash"):
        neptune.resolve(Ref("neptune", "KEYB", version="1"), options)
    del server.state.containers[held.id]
    with pytest.raises(ModelkilnError, match="no ModelVersion PROJ-KEYB-1"):
        neptune.resolve(Ref("neptune", "KEYB", version="1"), options)
    assert registered(server, "one", options, tmp_path).version == "2"


def test_name_that_is_not_there_is_one_line(server: NeptuneServer, options: neptune.Options) -> None:
    assert neptune.find("NONE", "0" * 64, options) is None
    with pytest.raises(ModelkilnError, match=r"Neptune at http://127\.0\.0\.1:\d+/team/models: no Model PROJ-NONE"):
        neptune.versions("NONE", options)
    model(server.state)
    assert neptune.versions("KEYB", options) == []  # the client calls an empty table an error


def test_links_are_kept_beside_those_of_other_tools(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    theirs = [{"project": "team/models", "model": "PROJ-OLD", "with_id": "PROJ-OLD-7", "time_stamp": "2024"}, "odd"]
    name = "model/compiled_model_versions"
    source = earlier(server.state, {"model/model_artifacts/model.bin": b"x", name: json.dumps(theirs).encode()})
    version = neptune.resolve(Ref("neptune", "KEYB", version="1"), options)
    compiled = Version("neptune", version.location, "FAST", "4", "0" * 64)
    elsewhere = Version("mlflow", "https://mlflow.example", "keywords", "2", "1" * 64)
    for each in (compiled, elsewhere, compiled):
        neptune.link(version, each, options)
    entries = json.loads(read(source, name))
    assert entries[:2] == theirs
    assert [{**entry, "time_stamp": ""} for entry in entries[2:]] == [
        {"project": "team/models", "model": "PROJ-FAST", "with_id": "PROJ-FAST-4", "time_stamp": ""},
        {"project": "https://mlflow.example", "model": "keywords", "with_id": "mlflow:keywords/2", "time_stamp": ""},
    ]
    (again,) = neptune.versions("KEYB", options)
    assert again.compiled == ("mlflow:keywords/2", "neptune:FAST/4", "neptune:OLD/7")
    assert again.digest == ""  # and not taken for one that modelkiln began to write


@pytest.mark.parametrize("kind", ["missing", "text"])
def test_list_of_links_may_be_missing_or_a_text(
    kind: str, server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    version = registered(server, "one", options, tmp_path)
    (held,) = server.state.versions("PROJ-KEYB", "team/models")
    if kind == "text":
        held.set("model/compiled_model_versions", "string", '[{"with_id": "PROJ-OLD-7"}]')
    neptune.link(version, Version("neptune", version.location, "FAST", "4", "0" * 64), options)
    text = held.value("model/compiled_model_versions") or read(held, "model/compiled_model_versions")
    assert [entry["with_id"] for entry in json.loads(text)][-1] == "PROJ-FAST-4"
    if kind == "text":
        held.set("model/compiled_model_versions", "string", json.dumps(["x" * 16300]))
        with pytest.raises(ModelkilnError, match="is a text, which ends at 16384 characters"):
            neptune.link(version, Version("neptune", version.location, "FAST", "5", "0" * 64), options)
        assert json.loads(held.value("model/compiled_model_versions")) == ["x" * 16300]


def test_link_overwritten_by_a_writer_elsewhere_is_put_back(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    """Another machine's modelkiln writes the list after we have read it, and before we write it."""
    version = registered(server, "one", options, tmp_path)
    (held,) = server.state.versions("PROJ-KEYB", "team/models")
    theirs = {"project": "team/models", "model": "PROJ-B", "with_id": "PROJ-B-1", "time_stamp": "2026"}

    def meanwhile(name: str, moment: str, body: Any) -> None:
        if name == "fileAtomUpload" and moment == "before" and "modelkiln/compiled/neptune:B/1" not in held.attributes:
            held.set("modelkiln/compiled/neptune:B/1", "string", json.dumps(theirs))
            put(server.state, held, "model/compiled_model_versions", json.dumps([theirs]).encode())

    server.watch = meanwhile
    neptune.link(version, Version("neptune", version.location, "A", "1", "0" * 64), options)
    entries = json.loads(read(held, "model/compiled_model_versions"))
    assert [entry["with_id"] for entry in entries] == ["PROJ-A-1", "PROJ-B-1"]


def test_module_is_a_registry() -> None:
    assert registries.load("neptune").Options() == neptune.Options()


@pytest.mark.parametrize(
    ("name", "value"), [("project", "models"), ("project", "a/b/c"), ("s3", "bucket/root"), ("s3", "s3://bucket/a*b")]
)
def test_options_that_can_not_be_right_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        neptune.Options(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NEPTUNE_PROJECT", "", "the project is None, expected WORKSPACE/PROJECT; set NEPTUNE_PROJECT"),
        ("NEPTUNE_API_TOKEN", "", "NEPTUNE_API_TOKEN is not set, or is no API token"),
        ("NEPTUNE_API_TOKEN", "bm90IGpzb24=", "NEPTUNE_API_TOKEN is not set, or is no API token"),
        ("NEPTUNE_PROJECT", "team/other", "no such project, or none that this token may see"),
    ],
)
def test_what_is_not_set_is_said(
    name: str, value: str, message: str, server: NeptuneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelkilnError, match=message) as raised:
        neptune.find("KEYB", "0" * 64, neptune.Options())
    assert "\n" not in str(raised.value)


def test_key_that_neptune_would_refuse_is_said_before(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    with pytest.raises(ModelkilnError, match="a model's key is uppercase, as 'KEYWORDS'; found 'keywords'"):
        neptune.register(trained(tmp_path / "model", name="keywords"), options)
