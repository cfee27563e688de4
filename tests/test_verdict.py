"""A verdict is believed when its checks bear it out, and not otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelkiln import ModelkilnError
from modelkiln.verdict import read_verdict

GOOD = {
    "name": "a",
    "outcome": "passed",
    "figures": {"x": {"value": 1.0, "bound": 0.9, "side": "at least"}},
    "reason": "",
}
LOW = {**GOOD, "figures": {"x": {"value": 0.8, "bound": 0.9, "side": "at least"}}}
NAN = {**GOOD, "figures": {"x": {"value": None, "bound": 0.9, "side": "at most"}}}


def write(folder: Path, **data: Any) -> Path:
    path = folder / "verdict.json"
    path.write_text(json.dumps({"artifact": "abc", **data}))
    return path


def test_verdict_that_is_borne_out_is_read(tmp_path: Path) -> None:
    assert read_verdict(write(tmp_path, passed=True, checks=[GOOD])).passed
    assert not read_verdict(write(tmp_path, passed=False, checks=[LOW])).passed


@pytest.mark.parametrize(
    ("passed", "checks"),
    [
        (True, []),
        (True, [GOOD, LOW]),
        (True, [NAN]),
        (True, [{**GOOD, "outcome": "skipped"}]),
        (True, [{**GOOD, "outcome": "failed"}]),
        ("false", [GOOD]),
        (1, [GOOD]),
        (None, [GOOD]),
    ],
)
def test_verdict_that_its_checks_contradict_is_refused(passed: Any, checks: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="its checks say otherwise"):
        read_verdict(write(tmp_path, passed=passed, checks=checks))


@pytest.mark.parametrize(
    "checks", [None, 3, [3], [{}], [{**GOOD, "figures": {"x": {"value": "high", "bound": 1, "side": "at most"}}}]]
)
def test_verdict_that_is_damaged_is_refused(checks: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match=r"verdict\.json: the verdict is damaged"):
        read_verdict(write(tmp_path, passed=True, checks=checks))
