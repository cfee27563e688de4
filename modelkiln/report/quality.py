"""quality.json -> precision, recall and F1 of both models, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass

from modelkiln.report import words
from modelkiln.report.axes import Axis, linear
from modelkiln.report.evidence import Evidence, finite
from modelkiln.report.plots import NO_BOUND, bound_of
from modelkiln.verdict import NOT_APPLICABLE

SCORES = ("precision", "recall", "f1")
JUDGED = 10  # the bound is on F1 at 10


@dataclass(frozen=True)
class Loss:
    """F1 lost with its interval, in words and as places on an axis."""

    words: str
    at: float
    low: float
    high: float
    zero: float
    bound: float | None
    holds: bool


@dataclass(frozen=True)
class Line:
    """So many keywords of each document against the gold key phrases."""

    n: int
    uncompiled: list[str]  # precision, recall, F1
    compiled: list[str]
    loss: Loss | None


def lines(evidence: Evidence) -> list[Line]:
    """A line for each n; none where the corpus has no gold key phrases."""
    rows = sorted(evidence.quality, key=lambda row: row["n"])
    allowed = bound_of(evidence, "max_f1_loss")
    ends = [value for row in rows for name in ("f1_loss", "low", "high") if (value := finite(row[name])) is not None]
    ends += [0.0] + ([allowed] if allowed != NO_BOUND else [])
    reach = max(max(map(abs, ends)) * 1.1, 1e-6)
    axis = linear(-reach, reach)
    return [
        Line(
            row["n"],
            [words.fixed(finite(row["uncompiled"][name]), 3) for name in SCORES],
            [words.fixed(finite(row["compiled"][name]), 3) for name in SCORES],
            _loss(row["n"], [finite(row[name]) for name in ("f1_loss", "low", "high")], allowed, axis),
        )
        for row in rows
    ]


def absence(evidence: Evidence) -> str:
    """Why there are no lines; empty where there are some."""
    if evidence.quality:
        return ""
    asked = [check for check in evidence.verdict.checks if check.name.startswith("quality:")]
    if any(check.outcome == NOT_APPLICABLE for check in asked):
        said = next(check.reason for check in asked if check.outcome == NOT_APPLICABLE)
        return f"Not applicable: {words.shorten(said or 'no gold key phrases in the corpus', 600)}"
    if asked:
        return "The check of the quality left no figures."
    return "No gold key phrases in the corpus."


def _loss(n: int, found: list[float | None], allowed: float, axis: Axis) -> Loss | None:
    loss, low, high = found
    if loss is None or low is None or high is None:
        return None
    judged = n == JUDGED and allowed != NO_BOUND
    said = f"{loss:+.4f} ({low:+.4f} to {high:+.4f})"
    bound = axis.at(allowed) if judged else None
    return Loss(said, axis.at(loss), axis.at(low), axis.at(high), axis.at(0), bound, not judged or high <= allowed)
