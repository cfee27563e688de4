"""Which cell is the best, by a rule that the user states, and why each of the others is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelkiln.sweep.experiments import FAILED, PASSED, REFUSED, Result

# What there can be a best of, and whether more of it is better.
MEASURES = {"speedup": True, "p50": False, "size": False, "f1": True}
# The figures that people are shown, and what they are called.
COLUMNS = {
    "speedup": "times as fast",
    "p50": "p50 ms",
    "size": "MB",
    "f1": "F1",
    "f1_loss": "F1 lost, at most",
    "agreement": "same keywords",
}


@dataclass(frozen=True)
class Rule:
    """What the best cell has to be; whatever is None is not asked for."""

    best: str = "speedup"  # of MEASURES: among those that are within the limits, the best in this
    max_f1_loss: float | None = None  # F1 lost at 10 keywords, at the upper end of its 95% interval
    min_agreement: float | None = None  # share of documents with the same keywords in the same order
    min_speedup: float | None = None
    max_p50: float | None = None  # milliseconds
    max_size: float | None = None  # 10^6 bytes

    def __str__(self) -> str:
        limits = [f"{name} {'at least' if least else 'at most'} {bound:g}" for name, least, bound in self.limits()]
        more = MEASURES[self.best]
        return ", ".join(["passed", *limits, f"then the {'highest' if more else 'lowest'} {self.best}"])

    def limits(self) -> list[tuple[str, bool, float]]:
        """(figure, whether the bound is a least, bound) of each limit that there is."""
        asked = [
            ("f1_loss", False, self.max_f1_loss),
            ("agreement", True, self.min_agreement),
            ("speedup", True, self.min_speedup),
            ("p50", False, self.max_p50),
            ("size", False, self.max_size),
        ]
        return [(name, least, bound) for name, least, bound in asked if bound is not None]


class Row(NamedTuple):
    """A result, and how it did."""

    result: Result
    lost: str  # why it is not the best, on one line; empty: it is
    in_front: bool  # on the Pareto front: no other is both as fast and as good, and better in one


@dataclass(frozen=True)
class Leaderboard:
    """The results, the best first, then those that passed, were refused, have not run yet, have failed."""

    rule: Rule
    quality: str  # the figure that stands for it: f1_loss, or agreement where not every cell has that
    rows: list[Row]

    @property
    def best(self) -> Result | None:
        """The one that won, if any is within the limits."""
        return next((row.result for row in self.rows if not row.lost), None)


def judge(results: Sequence[Result], rule: Rule) -> Leaderboard:
    """The leaderboard; the same for the same results, whatever their order."""
    quality = quality_of(results)
    front = pareto([result for result in results if result.state == PASSED], quality)
    ordered = sorted(results, key=lambda result: _order(result, rule))
    within = [result for result in ordered if not _short_of(result, rule)]
    best = within[0] if within else None
    rows = [Row(result, _lost(result, best, rule), result.name in front) for result in ordered]
    return Leaderboard(rule, quality, rows)


def quality_of(results: Sequence[Result]) -> str:
    """What the quality is told by: F1, where every cell that was measured has been judged by gold key phrases."""
    measured = [result for result in results if result.figures]
    has_gold = bool(measured) and all("f1_loss" in result.figures for result in measured)
    return "f1_loss" if has_gold else "agreement"


def pareto(results: Sequence[Result], quality: str) -> set[str]:
    """The names of those that no other beats in both speed and quality; one that lacks a figure is not there."""
    places = {result.name: there for result in results if (there := place(result, quality))}
    return {name for name, own in places.items() if not any(_beats(other, own) for other in places.values())}


def place(result: Result, quality: str) -> tuple[float, float] | None:
    """A result's speed and quality, more being better in both; None where one of them is not known."""
    speed, good = result.figures.get("speedup"), result.figures.get(quality)
    if speed is None or good is None:
        return None
    return speed, -good if quality == "f1_loss" else good


def _beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
    return other != own and other[0] >= own[0] and other[1] >= own[1]


def _order(result: Result, rule: Rule) -> tuple[bool, int, float, float, float, str]:
    """Those within the limits first, by the measure; among equals the one that loses less, then the smaller one."""
    states = {PASSED: 0, REFUSED: 1, FAILED: 3}
    more = MEASURES[rule.best]
    value = result.figures.get(rule.best)
    by_measure = float("inf") if value is None else -value if more else value
    loss, size = (result.figures.get(name, float("inf")) for name in ("f1_loss", "size"))
    return bool(_short_of(result, rule)), states.get(result.state, 2), by_measure, loss, size, result.name


def _short_of(result: Result, rule: Rule) -> str:
    """What keeps a result from winning whatever the others are; empty: nothing."""
    if result.state == REFUSED:
        return f"refused: {result.reason}"
    if result.state == FAILED:
        return f"failed: {result.reason}"
    if result.state != PASSED:
        return f"{result.state}: no verdict yet"
    for name, least, bound in rule.limits():
        value = result.figures.get(name)
        if value is None:
            return _unknown(name)
        if value < bound if least else value > bound:
            return f"{name} {value:g}, asked for: {'at least' if least else 'at most'} {bound:g}"
    return "" if rule.best in result.figures else _unknown(rule.best)


def _unknown(name: str) -> str:
    reasons = {
        "speedup": "no speedup: not measured, or too unsteady to tell; measure with nothing else running",
        "f1": "no f1: the corpus has no gold key phrases",
        "f1_loss": "no f1_loss: the corpus has no gold key phrases",
    }
    return reasons.get(name, f"no {name}: not measured")


def _lost(result: Result, best: Result | None, rule: Rule) -> str:
    if reason := _short_of(result, rule):
        return reason
    assert best is not None  # noqa: S101 (this one is within the limits)
    if result is best:
        return ""
    own, other = result.figures[rule.best], best.figures[rule.best]
    if own == other:
        return f"{rule.best} {own:g}, as {best.name}, which loses less or is smaller or comes first by name"
    return f"{rule.best} {own:g}, {best.name} has {other:g}"
