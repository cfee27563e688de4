"""Both models' answers to the same documents, and the rows that the plots and the report are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from modelkiln.checks.uncompiled import Original
from modelkiln.golden import Sample
from modelkiln.parity import Parity
from modelkiln.tasks import Task

WORST = 10  # documents that the report shows side by side
SHOWN = 600  # characters of a text in the report

Both = tuple[list[Any], list[Any]]  # the uncompiled model's and the compiled one's, one for each document


class Answers:
    """Asks each model once for each mode and set of documents."""

    def __init__(self, task: Task, original: Original, predictor: Any) -> None:
        self.task = task
        self._original = original
        self._predictor = predictor
        self._known: dict[tuple[str, str], Both] = {}

    def both(self, name: str, texts: Sequence[str], params: dict[str, Any]) -> Both:
        """The answers of both to the texts of the set `name`."""
        key = (name, repr(params))
        if key not in self._known:
            expected = self._original.answers(self.task, texts, params)
            self._known[key] = expected, self.task.predict(self._predictor, texts, params)
        return self._known[key]


def note(
    rows: dict[str, list[Any]], name: str, mode: int, samples: Sequence[Sample], both: Both, parity: Parity
) -> None:
    """Puts a comparison on record: a row for each document, one for each score, and the worst documents."""
    worst = {(row["set"], row["id"]): row for row in rows.get("worst.json", [])}
    for sample, document, wanted, found in zip(samples, parity.documents, *both, strict=True):
        row = {
            "id": sample.id,
            "set": name,
            "mode": mode,
            "agreement": int(document.agreement),
            "overlap": _digits(document.overlap),
            "rbo": _digits(document.rbo),
            "score_difference": _digits(document.score_difference),
        }
        rows.setdefault("documents.json", []).append(row)
        known = dict(wanted)
        differences = [score - known[keyword] for keyword, score in found if keyword in known]
        rows.setdefault("scores.json", []).extend({"mode": mode, "difference": _digits(each)} for each in differences)
        shown = {**row, "text": sample.text[:SHOWN], "expected": pairs(wanted), "actual": pairs(found)}
        worst[name, sample.id] = min(worst.get((name, sample.id), shown), shown, key=_how_good)
    rows["worst.json"] = sorted(worst.values(), key=_how_good)[:WORST]


def _how_good(row: dict[str, Any]) -> tuple[Any, ...]:
    figures = [-1.0 if row[name] is None else row[name] for name in ("rbo", "overlap")]
    difference = 1.0 if row["score_difference"] is None else row["score_difference"]
    return (*figures, -difference, row["mode"], row["set"], row["id"])


def pairs(answer: Any) -> list[list[Any]]:
    """An answer as JSON can hold it: a score that is not finite is null."""
    return [[keyword, _digits(score)] for keyword, score in answer]


def _digits(value: float) -> float | None:
    """As many as a score has; JSON knows no number that is not finite."""
    return round(float(value), 4) if math.isfinite(value) else None
