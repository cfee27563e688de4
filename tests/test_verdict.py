"""A verdict is believed when its checks bear it out, and not otherwise."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from modelkiln import ModelkilnError
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict, read_verdict

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
        (True, [GOOD, GOOD]),
    ],
)
def test_verdict_that_its_checks_contradict_is_refused(passed: Any, checks: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="its checks say otherwise"):
        read_verdict(write(tmp_path, passed=passed, checks=checks))


@pytest.mark.parametrize("passed", ["false", 1, None])
def test_verdict_that_is_neither_is_refused(passed: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match=r"damaged: passed: expected true or false"):
        read_verdict(write(tmp_path, passed=passed, checks=[GOOD]))


@pytest.mark.parametrize(
    "checks",
    [
        None,
        3,
        [3],
        [{}],
        [{**GOOD, "outcome": "splendid"}],
        *(
            [{**GOOD, "figures": {"x": {"value": 1.0, "bound": 1.0, "side": "at most", **wrong}}}]
            for wrong in (
                {"value": "high"},
                {"side": "about"},
                {"side": ""},
                {"bound": None},
                {"bound": math.inf},
                {"value": math.nan},
            )
        ),
    ],
)
def test_verdict_that_is_damaged_is_refused(checks: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match=r"verdict\.json: the verdict is damaged"):
        read_verdict(write(tmp_path, passed=True, checks=checks))


def test_reason_is_a_few_of_the_failures_on_one_line() -> None:
    checks = [Check(f"area: {number}", "failed", reason="r" * 500) for number in range(5)]
    reason = Verdict(False, "", checks=checks).reason()
    assert len(reason) < 1100
    assert reason.startswith("area: 0: rrr")
    assert reason.endswith("…; and 2 more, which the report shows")


def test_what_does_not_apply_is_left_out_but_is_no_verdict_alone() -> None:
    idle = Check("quality: gold", NOT_APPLICABLE, reason="no gold")
    assert not Verdict(True, "a", checks=[idle]).is_borne_out()
    both = Verdict(True, "a", checks=[idle, Check("vectors: words", "passed")])
    assert both.is_borne_out()
    assert both.failures() == []


def test_figure_without_a_bound_has_only_to_be_a_number() -> None:
    assert Figure(0.1, None, "").holds()
    assert not Figure(None, None, "").holds()
    assert str(Figure(0.1, None, "")) == "0.1 (no bound)"
