"""How near a figure is to its bound, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.report import judgement
from modelkiln.report.words import TIMES
from modelkiln.verdict import Check, Figure, Verdict

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Figure(9.87e-8, 1e-4, "at most"), "0.1 % used"),
        (Figure(0.5, 1.0, "at most"), "50.0 % used"),
        (Figure(1e-4, 1e-4, "at most"), "100 % used"),
        (Figure(0.0, 1e-4, "at most"), "0 % used"),
        (Figure(-0.01, 0.0, "at most"), "0 % used"),
        (Figure(0.01, 0.0, "at most"), "none is allowed"),
        (Figure(2.0, 1.0, "at most"), f"2 {TIMES} what is allowed"),
        (Figure(1.001, 1.0, "at most"), "just over what is allowed"),
        (Figure(0.99, 0.9999, "at least"), f"100 {TIMES} what is allowed"),
        (Figure(0.99, 0.98, "at least"), "50.0 % used"),
        (Figure(1.0, 1.0, "at least"), "nothing is lost"),
        (Figure(0.9, 1.0, "at least"), "nothing may be lost"),
        (Figure(5.0, 2, "at least"), f"2.5 {TIMES} the least"),
        (Figure(1.0, 2, "at least"), "1 short"),
        (Figure(None, 1.0, "at most"), "not finite"),
    ],
    ids=str,
)
def test_room_is_told_in_words(figure: Figure, said: str) -> None:
    assert judgement.room(figure)[1].replace("1e+02", "100") == said


@given(value=st.none() | NUMBERS, bound=NUMBERS, side=st.sampled_from(["at most", "at least"]))
def test_bar_crosses_the_bound_where_the_figure_does(value: float | None, bound: float, side: str) -> None:
    figure = Figure(value, bound, side)
    check = Check("vectors: x", "passed" if figure.holds() else "failed", {"y": figure})
    (area,) = judgement.areas(Verdict(False, "", checks=[check]), str)
    (line,) = area.checks[0].lines
    assert line.holds is figure.holds()
    assert (line.share > judgement.FULL) is not figure.holds()


def test_negative_verdict_always_has_a_reason() -> None:
    assert judgement.failures(Verdict(False, ""))[0].reason == "nothing was checked"
    beyond = Check("vectors: x", "passed", {"y": Figure(2.0, 1.0, "at most")})
    assert judgement.failures(Verdict(False, "", checks=[beyond]))[0].reason == "vectors: x: y is 2 (at most 1)"
    assert judgement.failures(Verdict(False, "", checks=[Check("x", "passed")]))


def test_areas_stand_in_the_order_of_the_questions() -> None:
    names = ["zoo: a", "vectors: b", "artifact: c", "collection", "vectors: d"]
    found = judgement.areas(Verdict(False, "", checks=[Check(name, "passed") for name in names]), str)
    assert [(area.name, len(area.checks)) for area in found] == [
        ("artifact", 1),
        ("vectors", 2),
        ("collection", 1),
        ("zoo", 1),
    ]


def test_what_was_skipped_has_failed_and_what_does_not_apply_has_not() -> None:
    outcomes = ("passed", "failed", "error", "skipped", "not applicable")
    (area,) = judgement.areas(Verdict(False, "", checks=[Check("a: b", outcome) for outcome in outcomes]), str)
    assert [entry.kind for entry in area.checks] == ["passed", "failed", "failed", "failed", "absent"]
    assert (area.passed, area.failed) == (1, 3)
