"""Folders appear whole or not at all, paths stay inside, the same data gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln import ModelkilnError
from modelkiln.files import is_inside, read_json, staged_folder, to_json, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from modelkiln.files import staged_folder
with staged_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_stage_killed_half_way_leaves_nothing_and_the_next_run_completes(tmp_path: Path) -> None:
    dest = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(dest)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not dest.exists()
    with staged_folder(dest) as folder:
        assert not list(folder.iterdir())
        (folder / "whole").write_text("written")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "whole"]


def test_old_folder_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    dest = tmp_path / "out"
    with staged_folder(dest) as folder:
        (folder / "old").write_text("1")

    def fail() -> None:
        with staged_folder(dest) as folder:
            (folder / "new").write_text("2")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_folder_that_can_not_be_written_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover (root may write anywhere: be somebody else)
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            with staged_folder(tmp_path / "out"):
                pass
            message = "it was written"
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(write, message.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        message = answer.read()
    os.waitpid(child, 0)
    tmp_path.chmod(0o755)
    assert message.startswith("ModelkilnError")
    assert "can't write here: Permission denied" in message
    assert "choose a folder that you may write to" in message


def test_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(ModelkilnError, match="can't write here: Not a directory"),
        staged_folder(tmp_path / "file" / "out"),
    ):
        pass


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a/./b", "C:/x", "a\\..\\b", "a\0b", ".."])
def test_path_that_leads_out_is_no_inside_path(path: str) -> None:
    assert not is_inside(path)


@given(st.lists(st.sampled_from(["..", ".", "a", "/", "", "b c", "..."]), max_size=6).map("/".join))
def test_inside_path_never_leaves_the_folder(path: str) -> None:
    if is_inside(path):
        joined = os.path.normpath(PurePosixPath("/root/folder") / path)
        assert joined.startswith("/root/folder/")


def test_same_data_gives_the_same_bytes() -> None:
    assert to_json({"b": 1, "a": ["ü"]}) == to_json({"a": ["ü"], "b": 1}) == '{\n  "a": [\n    "ü"\n  ],\n  "b": 1\n}\n'


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        to_json({"figure": float("nan")})


def test_damaged_json_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "it.json", "{")
    with pytest.raises(ModelkilnError, match=r"it\.json: the receipt is damaged"):
        read_json(tmp_path / "it.json", "the receipt")
