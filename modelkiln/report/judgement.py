"""The verdict as the page shows it: checks by area, and how near each figure is to its bound."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from modelkiln.report import words
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict

# In the order of the page, with what each of them asks.
AREAS = {
    "artifact": "Is it the artifact that was compiled, every byte of it, and nothing else?",
    "serving": "Does it load where it will serve: in a fresh process, moved elsewhere?",
    "noise": "How much does the uncompiled model differ from itself?",
    "tokenizer": "Does it cut texts into the same tokens?",
    "vectors": "Are the vectors the uncompiled model's, of every token and at every length?",
    "calls": "Are they that in texts and company which nobody could foresee?",
    "invariance": "Does a text have the same vector in any company?",
    "keywords": "Are the keywords the same, in every mode?",
    "resources": "Is what the task ships what its library has?",
    "quality": "Are the keywords as good, where people have named the right ones?",
    "neighbours": "Are the nearest texts the same ones?",
    "registered": "Does it answer as the trained model was registered to?",
    "hostile": "Does it take the texts that nobody should send?",
}
MARKS = {"passed": "✓", NOT_APPLICABLE: words.NOTHING}  # whatever else: it has failed
FULL = 75.0  # percent of the bar's width at which the bound stands: what is beyond it has to be seen


@dataclass(frozen=True)
class Line:
    """A figure beside its bound."""

    name: str
    value: str
    bound: str
    holds: bool
    share: float  # of the bar's width that is filled, in percent
    room: str  # how much of what is allowed was used, in words


@dataclass(frozen=True)
class Entry:
    """A check."""

    anchor: str
    name: str  # without its area
    about: str  # the extraction mode that it is of, in words
    kind: str  # passed, failed, or absent: it judged nothing
    mark: str
    outcome: str
    reason: str
    lines: list[Line]


@dataclass(frozen=True)
class Area:
    """The checks that ask the same."""

    name: str
    question: str
    checks: list[Entry]
    passed: int
    failed: int


@dataclass(frozen=True)
class Failure:
    """A reason of a negative verdict."""

    check: str  # empty where no check says it
    reason: str
    anchor: str


def areas(verdict: Verdict, modes: Callable[[int], str]) -> list[Area]:
    """The checks, in the order of AREAS; areas that it does not know come last.

    Args:
        verdict: With its checks.
        modes: Names an extraction mode, by its index.
    """
    entries: dict[str, list[Entry]] = {}
    for index, check in enumerate(verdict.checks):
        area, _, name = check.name.partition(": ")
        entries.setdefault(area, []).append(_entry(check, name or area, f"check-{index}", modes))
    known = list(AREAS)
    order = sorted(entries, key=lambda area: (known.index(area) if area in known else len(known), area))
    return [
        Area(
            area,
            AREAS.get(area, ""),
            entries[area],
            sum(entry.kind == "passed" for entry in entries[area]),
            sum(entry.kind == "failed" for entry in entries[area]),
        )
        for area in order
    ]


def failures(verdict: Verdict) -> list[Failure]:
    """Every reason of a negative verdict; what checks say comes first. At least one where the verdict is negative."""
    found = [
        Failure(check.name, check.reason or check.outcome, f"check-{index}")
        for index, check in enumerate(verdict.checks)
        if check.has_failed()
    ]
    if verdict.error:
        found.append(Failure("", verdict.error, ""))
    if not verdict.passed and not found:
        found.append(Failure("", _unsaid(verdict), ""))
    return found


def room(figure: Figure) -> tuple[float | None, str]:
    """How much of what the bound allows a figure has used (1: all of it), and the same in words.

    The share is None where it can't be said in numbers: nothing is allowed, and something is there.
    """
    if figure.value is None:
        return None, "not finite"
    if figure.bound is None:
        return 0.0, ""
    value, bound = float(figure.value), float(figure.bound)
    if figure.side == "at least" and 0 <= bound <= 1 and value <= 1:
        used, allowed = 1 - value, 1 - bound  # what counts is how much is missing from 1
    elif figure.side == "at least":
        return (bound / value, _beyond_least(value, bound)) if value > 0 < bound else (None, "")
    else:
        used, allowed = max(0.0, value), bound
    if used <= 0:
        return 0.0, "nothing is lost" if figure.side == "at least" else "0 % used"
    if allowed <= 0:
        return None, "nothing may be lost" if figure.side == "at least" else "none is allowed"
    share = used / allowed
    if share > 1:
        times = "just over" if share < 1.01 else f"{words.number(share, 3 if share < 10 else 2)} {words.TIMES}"
        return share, f"{times} what is allowed"
    return share, f"{words.percent(share)} used"


def _beyond_least(value: float, bound: float) -> str:
    if value >= bound:
        return f"{words.number(value / bound, 2)} {words.TIMES} the least"
    return f"{words.number(bound - value)} short"


def _entry(check: Check, name: str, anchor: str, modes: Callable[[int], str]) -> Entry:
    kind = {"passed": "passed", NOT_APPLICABLE: "absent"}.get(check.outcome, "failed")
    lines = [_line(name, figure) for name, figure in check.figures.items()]
    index = re.search(r"\[(\d{1,3})\]$", name) if check.name.startswith("keywords:") else None
    about = modes(int(index[1])) if index else ""
    # The figures say it, and the head of the page in full.
    reason = "" if any(not line.holds for line in lines) else check.reason
    return Entry(anchor, name, about, kind, MARKS.get(check.outcome, "✗"), check.outcome, reason, lines)


def _line(name: str, figure: Figure) -> Line:
    share, said = room(figure)
    holds = figure.holds()
    filled = (0.0 if holds else 100.0) if share is None else min(100.0, FULL * share)
    if not holds:
        filled = max(filled, FULL + 4)
    elif share:
        filled = max(filled, 1.5)
    bound = f"{figure.side} {words.exact(figure.bound)}" if figure.bound is not None else "no bound"
    return Line(words.spaced(name), words.exact(figure.value), bound, holds, round(filled, 1), said)


def _unsaid(verdict: Verdict) -> str:
    beyond = [
        f"{check.name}: {name} is {figure}"
        for check in verdict.checks
        for name, figure in check.figures.items()
        if not figure.holds()
    ]
    return "; ".join(beyond) or ("nothing was checked" if not verdict.checks else "the verdict does not say why")
