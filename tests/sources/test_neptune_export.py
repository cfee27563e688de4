"""A model version of an export arrives as it was exported, or one line names the file that is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from neptune_exports import ARTIFACTS, CARD, GOLDEN, PROJECT, PROJECT_FOLDER, Export, entry
from s3_server import S3

from modelkiln import ModelkilnError, s3, sources
from modelkiln.files import relative_files
from modelkiln.neptune.exported import folder_name
from modelkiln.params import Download
from modelkiln.sources import neptune_export
from modelkiln.sources.neptune_export import Options

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "1_Pooling/config.json": b"", "naïve.txt": b"x"}
ID = "KEYB-MINI-3"


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """One trained version."""
    written = Export(tmp_path / "export")
    written.trained(ID, FILES)
    return written


def fetch(export: Path, dest: Path, identity: str = ID, project: str | None = None) -> tuple[str, str]:
    dest.mkdir()
    return neptune_export.fetch(dest, Options(str(export), identity, project), [])


def refusal(export: Path, tmp_path: Path, identity: str = ID, project: str | None = None) -> str:
    with pytest.raises(ModelkilnError) as raised:
        fetch(export, tmp_path / "dest", identity, project)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_version_comes_with_golden_samples_and_card(export: Export, tmp_path: Path) -> None:
    identity, _ = fetch(export.folder, tmp_path / "dest")
    assert identity == "neptune_export:KEYB-MINI-3"
    golden = {f"golden/{name}.json" for name in GOLDEN}
    assert set(relative_files(tmp_path / "dest")) == set(FILES) | golden | {"card.json"}
    assert all((tmp_path / "dest" / name).read_bytes() == data for name, data in FILES.items())
    assert json.loads((tmp_path / "dest" / "card.json").read_text()) == CARD
    assert json.loads((tmp_path / "dest" / "golden/inputs.json").read_text()) == GOLDEN["inputs"]


def test_folder_of_the_files_alone_will_do(export: Export, tmp_path: Path) -> None:
    fetch(export.folder / "model_files", tmp_path / "dest")
    assert (tmp_path / "dest" / "model.safetensors").exists()


def test_revision_is_another_where_a_byte_is(export: Export, tmp_path: Path) -> None:
    _, first = fetch(export.folder, tmp_path / "first")
    _, again = fetch(export.folder, tmp_path / "again")
    export.file(ID, f"{ARTIFACTS}/model.safetensors", b"weightz")
    _, other = fetch(export.folder, tmp_path / "other")
    assert first == again != other


def test_download_stage_takes_it_as_any_source(export: Export, tmp_path: Path) -> None:
    options = {"path": str(export.folder), "model_version": ID}
    (tmp_path / "dest").mkdir()
    revision = sources.fetch(
        Download("keywords", "trained", "neptune_export", {"neptune_export": options}), tmp_path / "dest"
    )
    assert revision.id == "neptune_export:KEYB-MINI-3"
    assert revision.files["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()


def test_only_the_files_that_are_wanted_come_with_golden_samples_and_card(export: Export, tmp_path: Path) -> None:
    neptune_export.fetch(tmp_path, Options(str(export.folder), ID), ["config.json"])
    assert set(os.listdir(tmp_path)) == {"export", "config.json", "golden", "card.json"}


def test_card_says_where_the_files_are(tmp_path: Path) -> None:
    export = Export(tmp_path / "export")
    card = {"model_artifact_attribute_path": "other/place", "model_test_files": {"inputs": "tests/in"}}
    export.file(ID, "model/model_card", card)
    export.file(ID, "other/place/config.json", "{}")
    export.file(ID, "tests/in", "[]")
    fetch(export.folder, tmp_path / "dest")
    assert relative_files(tmp_path / "dest") == ["card.json", "config.json", "golden/inputs.json"]


def test_project_is_known_by_its_name_and_its_folder(export: Export, tmp_path: Path) -> None:
    assert folder_name(PROJECT) == PROJECT_FOLDER
    other = Export(export.folder, folder_name("ws/other"))
    other.trained(ID, {"config.json": b"other"})
    fetch(export.folder, tmp_path / "name", project="ws/other")
    fetch(export.folder, tmp_path / "folder", project=folder_name("ws/other"))
    assert (tmp_path / "name" / "config.json").read_bytes() == b"other"
    assert (tmp_path / "folder" / "config.json").read_bytes() == b"other"
    assert "is in several projects" in refusal(export.folder, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", ID, None), "no such folder"),
        (("empty", ID, None), "no model versions there"),
        (("export", "KEYB-MIN-3", None), "no model version 'KEYB-MIN-3' among 2; near: KEYB-MINI-"),
        (("export", ID, "ws/none"), f"no project 'ws/none'; it has {PROJECT_FOLDER}"),
    ],
)
def test_what_is_not_there_is_one_line(
    arguments: tuple[str, str, str | None], said: str, export: Export, tmp_path: Path
) -> None:
    export.trained("KEYB-MINI-12", FILES)
    (tmp_path / "empty").mkdir()
    folder, identity, project = arguments
    message = refusal(tmp_path / folder, tmp_path, identity, project)
    assert said in message
    assert message.startswith(str(tmp_path / folder))


def test_no_path_says_what_to_set() -> None:
    with pytest.raises(ModelkilnError, match=r"download\.sources\.neptune_export\.path"):
        neptune_export.fetch(Path("dest"), Options("", ID), [])


@pytest.mark.parametrize("identity", ["KEYB", "", "KEYB-MINI", "a b-1", "../KEYB-MINI-1x"])
def test_id_that_is_none_is_refused(identity: str) -> None:
    with pytest.raises(ValueError, match="as KEYB-MINI-3"):
        Options("export", identity)


@pytest.mark.parametrize("place", ["file", "folder", "version", "project", "files"])
def test_symbolic_link_is_refused_wherever_it_is(place: str, export: Export, tmp_path: Path) -> None:
    version = export.version(ID)
    path = {
        "file": version / ARTIFACTS / "model.safetensors",
        "folder": version / ARTIFACTS,
        "version": version,
        "project": version.parents[1],
        "files": version.parents[2],
    }[place]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    message = refusal(export.folder, tmp_path)
    assert "is a symbolic link" in message
    assert path.name in message


def test_colliding_names_are_refused(export: Export, tmp_path: Path) -> None:
    export.file(ID, f"{ARTIFACTS}/Config.json", b"{}")
    assert "are one file where case" in refusal(export.folder, tmp_path)


def test_model_with_files_of_its_own_where_ours_go_is_refused(export: Export, tmp_path: Path) -> None:
    export.file(ID, f"{ARTIFACTS}/card.json", b"{}")
    assert "card.json are one file here" in refusal(export.folder, tmp_path)


def test_name_that_leads_out_on_another_system_is_refused(export: Export, tmp_path: Path) -> None:
    export.file(ID, f"{ARTIFACTS}/..\\evil", b"{}")
    assert "leads out of the folder" in refusal(export.folder, tmp_path)


def test_name_that_is_no_text_is_refused(export: Export, tmp_path: Path) -> None:
    (export.version(ID) / ARTIFACTS / os.fsdecode(b"\xff")).write_bytes(b"")
    assert "is no UTF-8" in refusal(export.folder, tmp_path)


def test_pipe_is_refused_and_not_waited_for(export: Export, tmp_path: Path) -> None:
    os.mkfifo(export.version(ID) / ARTIFACTS / "pipe")
    assert "is no file" in refusal(export.folder, tmp_path)


@pytest.mark.parametrize("card", [b'{"a":', b"\xff", b"[" * 100_000, b"[1]", b'{"model_artifact_attribute_path": 3}'])
def test_damaged_card_is_one_line_that_names_it(card: bytes, export: Export, tmp_path: Path) -> None:
    export.file(ID, "model/model_card", card)
    message = refusal(export.folder, tmp_path)
    assert str(export.version(ID)) in message


def test_version_that_was_not_exported_to_the_end_is_refused(export: Export, tmp_path: Path) -> None:
    export.parquet("KEYB-MINI-2", "none")
    assert "not exported to the end" in refusal(export.folder, tmp_path)
    export.parquet(ID, "none")
    fetch(export.folder, tmp_path / "whole")


def test_file_that_is_only_tracked_comes_from_s3(export: Export, s3_server: S3, tmp_path: Path) -> None:
    location = s3_server.put("root/ws/keywords/KEYB-MINI/KEYB-MINI-3/vocab with space?.txt", b"words")
    export.artifact(ID, f"{ARTIFACTS}/vocab.txt", [entry(location, b"words")])
    location = s3_server.put("root/inputs.json", b"[]")
    (export.version(ID) / "model/test_files/inputs").unlink()
    export.artifact(ID, "model/test_files/inputs", [entry(location, b"[]")])
    fetch(export.folder, tmp_path / "dest")
    assert (tmp_path / "dest" / "vocab.txt").read_bytes() == b"words"
    assert (tmp_path / "dest" / "golden/inputs.json").read_bytes() == b"[]"


def test_card_may_be_in_s3_too(export: Export, s3_server: S3, tmp_path: Path) -> None:
    card = json.dumps({"model_artifact_attribute_path": "other/place"}).encode()
    (export.version(ID) / "model/model_card").unlink()
    export.artifact(ID, "model/model_card", [entry(s3_server.put("card", card), card)])
    export.file(ID, "other/place/config.json", "{}")
    fetch(export.folder, tmp_path / "dest")
    assert (tmp_path / "dest" / "card.json").read_bytes() == card
    assert not (tmp_path / "dest" / "model.safetensors").exists()


def test_tracked_key_that_begins_another_gives_the_file_that_is_meant(
    export: Export, s3_server: S3, tmp_path: Path
) -> None:
    entries = [entry(s3_server.put(key, key.encode()), key.encode()) for key in ("vocab.txt.old", "vocab.txt")]
    export.artifact(ID, f"{ARTIFACTS}/vocab.txt", entries)
    fetch(export.folder, tmp_path / "dest")
    assert (tmp_path / "dest" / "vocab.txt").read_bytes() == b"vocab.txt"


def test_tracked_folder_gives_all_its_files(export: Export, s3_server: S3, tmp_path: Path) -> None:
    entries = [entry(s3_server.put(f"deep/{key}", key.encode()), key.encode(), key) for key in ("a", "b/c")]
    export.artifact(ID, f"{ARTIFACTS}/deep", entries)
    fetch(export.folder, tmp_path / "dest")
    assert (tmp_path / "dest" / "deep/b/c").read_bytes() == b"b/c"


def test_tracked_folder_may_not_lead_out(export: Export, s3_server: S3, tmp_path: Path) -> None:
    location = s3_server.put("x", b"x")
    export.artifact(ID, f"{ARTIFACTS}/deep", [entry(location, b"x", name) for name in ("../../../evil", "b")])
    assert "leads out of the folder" in refusal(export.folder, tmp_path)


def test_model_file_that_is_named_like_a_list_is_a_file(export: Export, tmp_path: Path) -> None:
    export.file(ID, f"{ARTIFACTS}/files_list.json", b"mine")
    fetch(export.folder, tmp_path / "dest")
    assert (tmp_path / "dest" / "files_list.json").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 4}, "has 5 bytes, expected 4"),
        ({"fileHash": "0" * 32}, "is not what was tracked"),
        ({"fileHash": "0" * 32 + "-2"}, "is not what was tracked"),
        ({"type": "Local", "metadata": [{"key": "file_path", "value": "file:///etc/passwd"}]}, "only those in S3"),
        ({"metadata": [{"key": "location", "value": "s3://kiln/gone"}]}, "no such object in S3"),
        ({"metadata": [{"key": "location", "value": "file:///etc/passwd"}]}, "expected s3://BUCKET/KEY"),
        ({"metadata": []}, "has no location"),
        ({"metadata": None}, "is damaged"),
        ({"fileHash": None}, "has no location, hash or size"),
        ({"size": "5"}, "has no location, hash or size"),
    ],
)
def test_tracked_file_that_is_not_what_was_tracked_is_one_line(
    changes: dict[str, Any], said: str, export: Export, s3_server: S3, tmp_path: Path
) -> None:
    path = export.artifact(ID, f"{ARTIFACTS}/vocab.txt", [entry(s3_server.put("v", b"words"), b"words", **changes)])
    message = refusal(export.folder, tmp_path)
    assert said in message
    assert str(path) in message
    assert not (tmp_path / "dest" / "vocab.txt").exists() or "tracked" in said or "bytes" in said


@pytest.mark.parametrize("text", ["", "[", "{}", "[]", "[1]", '[{"filePath": "x"}]', "\udcff"])
def test_damaged_list_is_one_line_that_names_it(text: str, export: Export, tmp_path: Path) -> None:
    path = export.file(ID, f"{ARTIFACTS}/vocab.txt/files_list.json", text.encode(errors="surrogateescape"))
    message = refusal(export.folder, tmp_path)
    assert str(path) in message
    assert "damaged" in message


def test_object_uploaded_in_parts_is_held_to_the_mark_that_s3_gives_it(
    export: Export, s3_server: S3, tmp_path: Path
) -> None:
    """Its hash is none of its bytes."""
    data = bytes(9 << 20)
    (tmp_path / "big").write_bytes(data)
    location = f"s3://{s3_server.bucket}/big"
    s3.store(tmp_path / "big", location)
    mark = s3.etag(location)
    assert mark.endswith("-2")
    export.artifact(ID, f"{ARTIFACTS}/big", [entry(location, data, fileHash=mark)])
    fetch(export.folder, tmp_path / "dest")
    s3_server.put("big", data[:-1] + b"x")
    (tmp_path / "dest").rename(tmp_path / "before")
    assert "it was replaced" in refusal(export.folder, tmp_path)
