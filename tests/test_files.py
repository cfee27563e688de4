"""Folders appear whole or not at all, paths stay inside, the same data gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
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


WRITES = """
import sys
from collections.abc import Callable
from pathlib import Path
from modelkiln.files import staged_folder, write_text
folder, writer = Path(sys.argv[1]), sys.argv[2]
for turn in range(12):
    with staged_folder(folder / "out") as partial:
        for number in range(200):
            (partial / f"{number:03}").write_text(f"{writer} {turn}")
    write_text(folder / "text", f"{writer} {turn} " * 20_000)
"""


def test_several_writers_leave_one_whole_thing(tmp_path: Path) -> None:
    """Whoever reads meanwhile finds a whole text; in the end there is one writer's whole folder, and nothing else."""
    write_text(tmp_path / "text", "0 0 " * 20_000)
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(4)]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        words = (tmp_path / "text").read_text().split()
        assert len(words) == 40_000
        assert len(set(zip(words[::2], words[1::2], strict=True))) == 1
        reads += 1
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 4
    assert reads > 10
    said = [path.read_text() for path in sorted((tmp_path / "out").iterdir())]
    assert len(said) == 200
    assert len(set(said)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"out", "text"}


def leave_link(path: Path) -> None:
    path.symlink_to("nowhere")


def leave_file(path: Path) -> None:
    path.write_text("half")


def leave_folder(path: Path) -> None:
    path.mkdir()
    (path / "half").write_text("half")


@pytest.mark.parametrize("leave", [leave_link, leave_file, leave_folder, os.mkfifo])
def test_whatever_was_left_behind_is_cleared(leave: Callable[[Path], None], tmp_path: Path) -> None:
    for name in ("out", "text"):
        leave(tmp_path / f".{name}.0123abcd.partial")
    with staged_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("written")
    write_text(tmp_path / "text", "written")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "text", "whole"]


def test_what_another_writer_is_at_is_not_cleared(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as first:
        (first / "first").touch()
        with staged_folder(tmp_path / "out") as second:
            (second / "second").touch()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first"]


def test_folder_that_a_link_leads_to_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "disk" / "out").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    for turn in ("1", "2"):
        with staged_folder(tmp_path / "out") as folder:
            (folder / turn).touch()
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "disk").rglob("*")] == ["out", "2"]


@pytest.mark.parametrize("new", [True, False])
def test_killed_while_the_new_folder_takes_its_place_one_of_them_is_there(new: bool, tmp_path: Path) -> None:
    """Between the renames, or after them."""
    for name, text in ((".out.old", "old"), ("out", "new"))[: 1 + new]:
        (tmp_path / name).mkdir()
        (tmp_path / name / text).touch()

    def fail() -> None:
        with staged_folder(tmp_path / "out"):
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new" if new else "old"]


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
        pytest.raises(ModelkilnError, match=r"out: can't write here: File exists \(.*/file\)"),
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
