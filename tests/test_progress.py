"""Progress goes to stderr: plain lines where nobody watches, a bar on a terminal; answers stay alone on stdout."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from modelkiln import progress

SCRIPT = """
from modelkiln.progress import step, track
import time
with step("working"):
    time.sleep(0.3)
for item in track(range(3), "counting"):
    time.sleep(0.2)
    print(item)
"""


def test_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    assert list(progress.track([1, 2], "counting", 2)) == [1, 2]
    with progress.step("working"):
        pass
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["counting: 0 of 2 done", "counting: 1 of 2 done", "working …", "working: 0.0 s"]


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_terminal_gets_a_bar_and_stdout_only_the_answers() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.stdout == b"0\n1\n2\n"
    assert "counting" in shown
    assert "\x1b[" in shown  # drawn, and drawn over
