"""Progress goes to stderr: plain lines where nobody watches, a bar on a terminal; answers stay alone on stdout."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import time

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
COUNT = """
from modelkiln import progress
import time
progress.QUIET_SECONDS = 0.3
for item in progress.count(range(3), "documents", 30, 20):
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


def test_count_says_how_many_and_how_fast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", -1.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    for _ in progress.count([1, 2, 3], "documents", 1200, 1000):
        time.sleep(0.1)
    assert list(progress.count([1, 2], "documents")) == [1, 2]
    said = capsys.readouterr()
    assert said.out == ""
    lines = [re.sub(r", [\d,.]+ a second", ", N a second", line) for line in said.err.splitlines()]
    assert lines[:2] == [f"documents: 1,00{number} of 1,200 done, N a second" for number in (1, 2)]
    assert re.fullmatch(r"documents: 1,003 of 1,200 done, N a second, 0\.\d s", lines[2])
    assert lines[3:] == ["documents: 1 done, N a second", "documents: 2 done, N a second, 0.0 s"]
    assert re.search(r" ([89]|10)\.\d a second", said.err)


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track([1, 2], "counting")) == [1, 2]
    assert list(progress.count([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("script", "expected"),
    [(SCRIPT, "counting "), (COUNT, r"documents: 2[23] of 30 done, \d\.\d a second ")],
    ids=["track", "count"],
)
def test_terminal_gets_a_bar_and_stdout_only_the_answers(script: str, expected: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = ""
    with contextlib.suppress(OSError):  # Linux gives an error at the end
        while read := os.read(ours, 65536):
            shown += read.decode(errors="replace")
    os.close(ours)
    assert process.communicate()[0] == b"0\n1\n2\n"
    assert re.search(expected, shown)
    assert "\x1b[" in shown  # drawn, and drawn over
