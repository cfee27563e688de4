"""The leaderboard: the best by a stated rule, why the others lost, and the Pareto front."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep.results import make_up

from modelkiln.sweep.experiments import FAILED, PASSED, QUEUED, REFUSED, RUNNING, Result
from modelkiln.sweep.leaderboard import Rule, judge, pareto, quality_of

FEW = st.integers(0, 3).map(float)
FIGURES = st.fixed_dictionaries({}, optional={"speedup": FEW, "f1_loss": FEW, "p50": FEW, "size": FEW, "f1": FEW})
STATES = st.sampled_from([PASSED, REFUSED, FAILED, RUNNING, QUEUED])
RESULTS = st.lists(st.tuples(STATES, FIGURES), max_size=7).map(
    lambda drawn: [Result(f"c{number}", state, figures=figures) for number, (state, figures) in enumerate(drawn)]
)


def cell(name: str, state: str = PASSED, **figures: float) -> Result:
    return Result(name, state, "r" * 40, {}, figures, "because" if state in (REFUSED, FAILED) else "")


FAST = cell("fast", speedup=4.0, f1_loss=0.02, p50=5.0, size=30.0, f1=0.28)
GOOD = cell("good", speedup=2.0, f1_loss=0.0, p50=9.0, size=90.0, f1=0.3)
SMALL = cell("small", speedup=1.4, f1_loss=0.01, p50=12.0, size=20.0, f1=0.29)
CELLS = [FAST, GOOD, SMALL, cell("no", REFUSED, speedup=9.0, f1_loss=0.5, f1=0.1), cell("out", FAILED)]


@pytest.mark.parametrize(
    ("rule", "best"),
    [
        (Rule(), "fast"),
        (Rule("p50"), "fast"),
        (Rule("size"), "small"),
        (Rule("f1"), "good"),
        (Rule(max_f1_loss=0.01), "good"),
        (Rule("size", max_f1_loss=0.01, min_speedup=1.5), "good"),
        (Rule("size", max_f1_loss=0.01, min_speedup=1.4), "small"),  # what reaches the limit is within it
        (Rule("f1", max_size=50.0), "small"),
        (Rule("f1", max_p50=5.0), "fast"),
        (Rule(min_speedup=4.1), None),
    ],
)
def test_rule_picks(rule: Rule, best: str | None) -> None:
    board = judge(CELLS, rule)
    assert (board.best and board.best.name) == best
    assert [row.result.name for row in board.rows if not row.lost] == ([best] if best else [])
    assert board.best is None or board.rows[0].result is board.best


def test_each_loser_is_told_why() -> None:
    board = judge(
        [*CELLS, cell("unsteady", f1_loss=0.0), cell("later", QUEUED)], Rule(max_f1_loss=0.015, min_speedup=1.5)
    )
    assert {row.result.name: row.lost for row in board.rows} == {
        "good": "",
        "fast": "f1_loss 0.02, asked for: at most 0.015",
        "small": "speedup 1.4, asked for: at least 1.5",
        "unsteady": "no speedup: not measured, or too unsteady to tell; measure with nothing else running",
        "no": "refused: because",
        "out": "failed: because",
        "later": "queued: no verdict yet",
    }
    assert [row.result.name for row in board.rows][-3:] == ["no", "later", "out"]
    other = judge([GOOD, SMALL], Rule("size"))
    assert other.rows[1].lost == "size 90, small has 20"


def test_of_equals_the_one_that_loses_less_wins_then_the_smaller_one() -> None:
    twin = cell("twin", speedup=2.0, f1_loss=0.0, p50=9.0, size=80.0, f1=0.3)
    lossy = cell("lossy", speedup=2.0, f1_loss=0.005, p50=9.0, size=10.0, f1=0.3)
    board = judge([GOOD, lossy, twin], Rule())
    assert [row.result.name for row in board.rows] == ["twin", "good", "lossy"]
    assert board.rows[1].lost.startswith("speedup 2, as twin, which loses less")


def test_rule_is_said_in_words() -> None:
    rule = Rule("size", max_f1_loss=0.01, min_agreement=0.9, min_speedup=1.5, max_p50=20, max_size=100)
    assert str(rule) == (
        "passed, f1_loss at most 0.01, agreement at least 0.9, speedup at least 1.5, p50 at most 20, size at most 100, "
        "then the lowest size"
    )
    assert str(Rule()) == "passed, then the highest speedup"


def test_without_gold_key_phrases_the_quality_is_the_agreement() -> None:
    assert quality_of(CELLS) == "f1_loss"
    ungraded = [cell("a", speedup=2.0, agreement=0.9), cell("b", speedup=1.0, agreement=1.0), cell("c", FAILED)]
    assert quality_of(ungraded) == "agreement"
    assert quality_of([*CELLS, ungraded[0]]) == "agreement"
    assert {row.result.name for row in judge(ungraded, Rule()).rows if row.in_front} == {"a", "b"}


def test_front_of_few() -> None:
    assert {row.result.name for row in judge(CELLS, Rule()).rows if row.in_front} == {"fast", "good"}
    # More agreement is better, less loss is.
    assert pareto([cell("a", speedup=1, agreement=0.5), cell("b", speedup=1, agreement=0.6)], "agreement") == {"b"}
    assert pareto([cell("a", speedup=1, f1_loss=0.5), cell("b", speedup=1, f1_loss=0.6)], "f1_loss") == {"a"}


@given(RESULTS)
def test_front_is_what_nothing_beats_and_beats_the_rest(results: list[Result]) -> None:
    def beats(one: Result, other: Result) -> bool:
        better = (one.figures["speedup"], -one.figures["f1_loss"])
        worse = (other.figures["speedup"], -other.figures["f1_loss"])
        return better != worse and all(a >= b for a, b in zip(better, worse, strict=True))

    known = [result for result in results if {"speedup", "f1_loss"} <= result.figures.keys()]
    front = [result for result in known if result.name in pareto(results, "f1_loss")]
    assert not any(beats(other, one) for one in front for other in known)
    for result in known:
        assert result in front or any(beats(other, result) for other in front)


@given(RESULTS, st.sampled_from(["speedup", "p50", "size", "f1"]), st.randoms())
def test_order_of_the_results_changes_nothing(results: list[Result], best: str, shuffler: random.Random) -> None:
    rule = Rule(best, max_f1_loss=2.0, min_speedup=1.0)
    shuffled = list(results)
    shuffler.shuffle(shuffled)
    board = judge(results, rule)
    assert judge(shuffled, rule) == board
    assert len(board.rows) == len(results)
    if board.best is None:
        return
    won: Any = board.best.figures
    assert board.best.state == PASSED
    for result in results:
        within = (
            result.state == PASSED and result.figures.get("f1_loss", 9) <= 2 and result.figures.get("speedup", 0) >= 1
        )
        if within and best in result.figures:
            mine, other = result.figures[best], won[best]
            assert mine <= other if best in ("speedup", "f1") else mine >= other


def test_made_up_results_are_of_every_kind() -> None:
    assert {result.state for result in make_up(40)} == {PASSED, REFUSED, FAILED}
