"""The reason that is found in what a run has said."""

from __future__ import annotations

import pytest

from modelkiln.sweep.reasons import LONGEST, UNKNOWN, reason_of

FAILED = "ERROR: failed to reproduce 'compile': failed to run: python -m stages.compile, exited with 1\n"
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\n    ^^^\nValueError: bad value\n'


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            f"Running stage 'compile':\ncompiling …\ncompile: no torch_neuron here\n{FAILED}",
            "compile: no torch_neuron here",
        ),
        # Of several lines, as of mistakes that are listed.
        (
            f"validate: params.yaml: 2 mistakes:\n  - one\n  - two\n{FAILED}",
            "validate: params.yaml: 2 mistakes: - one - two",
        ),
        (f"some words\n{TRACEBACK}{FAILED}", "ValueError: bad value"),
        # The bug that was met while another was dealt with is the last.
        (f"{TRACEBACK}\nDuring handling …\n\n{TRACEBACK.replace('bad value', 'worse')}{FAILED}", "ValueError: worse"),
        (FAILED, FAILED.strip()),
        ("ERROR: unexpected error - no space left on device\n", "ERROR: unexpected error - no space left on device"),
        ("fatal: reference is not a tree: 0123\n", "fatal: reference is not a tree: 0123"),
        ("\x1b[31mERROR\x1b[39m: in red\n", "ERROR: in red"),
        ("50%|█\r\rcompile: behind a bar\n", "compile: behind a bar"),
        ("nothing of a kind that is known\nthe last line\n", "the last line"),
        ("", UNKNOWN),
        (" \n\n", UNKNOWN),
    ],
)
def test_reason_is_one_line(log: str, reason: str) -> None:
    assert reason_of(log) == reason


def test_reason_is_cut() -> None:
    assert reason_of("compile: " + "x" * 1000) == ("compile: " + "x" * 1000)[:LONGEST] + "…"
