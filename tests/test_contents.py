"""A version that is no artifact is vouched for by its list of contents, down to the last byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelkiln import ModelkilnError, contents
from modelkiln.files import write_text

MODEL = {"config.json": "{}", "1_Pooling/config.json": "[]", "empty": "", "größe.txt": "ß"}
EXTRAS = {"card.md": "# card\n", "golden/inputs.json": "[]"}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version as a registry's fetch leaves it."""
    for name, text in {**{f"model/{name}": text for name, text in MODEL.items()}, **EXTRAS}.items():
        write_text(tmp_path / "version" / name, text)
    listed = contents.list_contents(tmp_path / "version" / "model", EXTRAS, "")
    write_text(tmp_path / "version" / "contents.json", listed)
    return tmp_path / "version"


def digest(version: Path) -> str:
    return contents.digest_of((version / "contents.json").read_text("utf-8"))


def test_whole_version_is_verified(version: Path) -> None:
    contents.verify(version, contents.TRAINED, digest(version))


def test_same_files_have_the_same_digest_and_those_of_another_origin_another(version: Path) -> None:
    again = contents.list_contents(version / "model", EXTRAS, "")
    assert contents.digest_of(again) == digest(version)
    other = contents.list_contents(version / "model", EXTRAS, "neptune-export:KEYB-MINI-3")
    assert contents.digest_of(other) != digest(version)


@pytest.mark.parametrize("name", ["model/config.json", "model/empty", "card.md", "golden/inputs.json"])
def test_altered_missing_and_added_files_are_named(name: str, version: Path) -> None:
    known = digest(version)
    (version / name).write_text("other")
    with pytest.raises(ModelkilnError, match=f"{name} was altered"):
        contents.verify(version, contents.TRAINED, known)
    (version / name).rename(version / "model" / "elsewhere")
    with pytest.raises(ModelkilnError) as raised:
        contents.verify(version, contents.TRAINED, known)
    assert f"{name} is missing" in str(raised.value)
    assert "model/elsewhere is not listed" in str(raised.value)


def _drop(listed: dict[str, Any]) -> None:
    del listed["files"]["card.md"]


def _lead_out(listed: dict[str, Any]) -> None:
    listed["files"]["../out"] = {"size": 0, "sha256": ""}


def test_altered_list_is_refused(version: Path) -> None:
    known = digest(version)
    path = version / "contents.json"
    for change in (_drop, _lead_out):
        listed = json.loads(path.read_text("utf-8"))
        change(listed)
        path.write_text(json.dumps(listed))
        with pytest.raises(ModelkilnError, match=f"expected {known}"):
            contents.verify(version, contents.TRAINED, known)
    with pytest.raises(ModelkilnError, match=r"'\.\./out' points outside"):
        contents.verify(version, contents.TRAINED, digest(version))


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": []}', "no json", '{"files": {"card.md": 1}}'])
def test_list_that_is_none_is_one_line(text: str, version: Path) -> None:
    (version / "contents.json").write_text(text)
    with pytest.raises(ModelkilnError):
        contents.verify(version, contents.TRAINED, digest(version))
