"""An archive holds the entries that belong to it, each once, and not a byte between them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkiln import ModelkilnError, archives

KNOWN = r"encoder/data/\d+"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as made:
        for number in range(3):
            made.writestr(f"encoder/data/{number}", b"x" * 1000)
    return tmp_path / "a.pt"


def with_comment(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as made:
        made.comment = b"a key: 1234"


def with_entry(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("encoder/more", b"")


def with_twin(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as made, pytest.warns(UserWarning, match="Duplicate name"):
        made.writestr("encoder/data/1", b"other")


def with_bytes_before(path: Path) -> None:
    path.write_bytes(b"y" * 5000 + path.read_bytes())


def test_what_belongs_to_it_is_nothing_to_say(archive: Path) -> None:
    assert archives.strangers(archive, KNOWN) == []


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (with_comment, "a comment"),
        (with_entry, "an entry 'encoder/more'"),
        (with_twin, "1 entries twice"),
        (with_bytes_before, "bytes and more between its entries"),
    ],
)
def test_whatever_else_it_holds_is_named(alter: Callable[[Path], None], said: str, archive: Path) -> None:
    alter(archive)
    (line,) = archives.strangers(archive, KNOWN)
    assert said in line


def test_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("no archive")
    with pytest.raises(ModelkilnError, match=r"a\.pt: no archive that could be read"):
        archives.strangers(tmp_path / "a.pt", KNOWN)
