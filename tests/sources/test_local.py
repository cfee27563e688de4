"""A folder's files arrive as they are, and the revision is told by their contents alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelkiln import ModelkilnError, sources
from modelkiln.files import relative_files, sha256
from modelkiln.params import Download
from modelkiln.sources import Revision

CONTENTS = {"1_Pooling/config.json": b'{"pooling": "mean"}', "config.json": b"{}", "model.safetensors": b"weights"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with as much of a model as the download stage looks at."""
    return write(tmp_path / "model", CONTENTS)


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def fetch(path: Path | str, dest: Path, *files: str) -> Revision:
    dest.mkdir()
    return sources.fetch(Download("tiny", "base", "local", {"local": {"path": str(path)}}, dict.fromkeys(files)), dest)


def test_files_arrive_with_their_folders_and_contents(model: Path, tmp_path: Path) -> None:
    fetch(model, tmp_path / "dest")
    assert {name: (tmp_path / "dest" / name).read_bytes() for name in relative_files(tmp_path / "dest")} == CONTENTS


def test_revision_names_the_folder_and_each_sha256(model: Path, tmp_path: Path) -> None:
    revision = fetch(model, tmp_path / "dest")
    assert (revision.source, revision.id) == ("local", "model")
    assert revision.files == {name: sha256(model / name) for name in CONTENTS}


def test_only_listed_files_are_taken(model: Path, tmp_path: Path) -> None:
    write(model, {"README.md": b"read me", "onnx/config.json": b"{}"})
    fetch(model, tmp_path / "dest", *CONTENTS)
    assert relative_files(tmp_path / "dest") == sorted(CONTENTS)


def test_same_contents_elsewhere_have_the_same_revision(model: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "copy", dict(reversed(CONTENTS.items())))
    os.utime(again / "config.json", (0, 0))
    assert fetch(model, tmp_path / "first").revision == fetch(again, tmp_path / "second").revision


@pytest.mark.parametrize("name", CONTENTS)
def test_another_byte_makes_another_revision(name: str, model: Path, tmp_path: Path) -> None:
    before = fetch(model, tmp_path / "before").revision
    write(model, {name: CONTENTS[name][:-1] + b"?"})
    assert fetch(model, tmp_path / "after").revision != before


def test_another_name_makes_another_revision(model: Path, tmp_path: Path) -> None:
    before = fetch(model, tmp_path / "before").revision
    (model / "1_Pooling").rename(model / "2_Pooling")
    assert fetch(model, tmp_path / "after").revision != before


def test_hidden_files_are_no_part_of_the_model(model: Path, tmp_path: Path) -> None:
    plain = fetch(model, tmp_path / "plain").revision
    write(model, {".gitattributes": b"lfs", ".git/config": b"[core]", "1_Pooling/.swap": b"half"})
    assert fetch(model, tmp_path / "hidden").revision == plain
    assert relative_files(tmp_path / "hidden") == sorted(CONTENTS)


def test_hidden_folder_above_the_model_hides_nothing(model: Path, tmp_path: Path) -> None:
    hidden = shutil.copytree(model, tmp_path / ".cache" / "model")
    assert set(fetch(hidden, tmp_path / "dest").files) == set(CONTENTS)


def test_home_may_be_written_as_a_tilde(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(model.parent))
    assert set(fetch("~/model", tmp_path / "dest").files) == set(CONTENTS)


@pytest.mark.parametrize("path", [".", "../model", "../model/1_Pooling/.."])
def test_folder_is_named_however_it_is_written(
    path: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    assert fetch(path, tmp_path / "dest").id == "model"


@pytest.mark.parametrize("path", ["", "nowhere", "model/config.json"])
def test_what_is_no_folder_is_one_line_that_names_the_key(
    path: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    expected = rf"^download\.sources\.local\.path: no folder {path!r}; set it to your model's folder$"
    with pytest.raises(ModelkilnError, match=expected):
        fetch(path, tmp_path / "dest")


def test_listed_files_that_are_not_there_are_all_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match=rf"^{model}: not there: gone/config\.json, lost\.json, vocab\.txt$"):
        fetch(model, tmp_path / "dest", "vocab.txt", "config.json", "lost.json", "gone/config.json")
    assert relative_files(tmp_path / "dest") == []


def test_link_to_nowhere_is_named(model: Path, tmp_path: Path) -> None:
    (model / "vocab.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelkilnError, match=r": not there: vocab\.txt$"):
        fetch(model, tmp_path / "dest")


def test_link_out_of_the_folder_is_refused(model: Path, tmp_path: Path) -> None:
    """A file of secrets would go into the artifact's source, and from there into the registry."""
    (tmp_path / "secrets.txt").write_text("token")
    (model / "vocab.txt").symlink_to(tmp_path / "secrets.txt")
    with pytest.raises(
        ModelkilnError, match=r"refused, a model's files lie in its folder; .*: vocab\.txt is a link to"
    ):
        fetch(model, tmp_path / "dest")
    (model / "vocab.txt").unlink()
    (model / "vocab.txt").symlink_to("config.json")
    assert fetch(model, tmp_path / "again").files["vocab.txt"] == sha256(model / "config.json")


def test_snapshot_of_the_hub_whose_files_are_links_arrives_as_files(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--tiny"
    snapshot = repository / "snapshots" / "c9745ed1d9f2"
    for number, (name, data) in enumerate(CONTENTS.items()):
        blob = write(repository / "blobs", {str(number): data}) / str(number)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    fetch(snapshot, tmp_path / "dest")
    shutil.rmtree(repository)
    assert {name: (tmp_path / "dest" / name).read_bytes() for name in relative_files(tmp_path / "dest")} == CONTENTS
