"""Documents side by side: what each model names, with the differences marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from modelkiln.report import words
from modelkiln.report.evidence import Evidence, Row, finite
from modelkiln.report.plots import SAME, mode_of

SHOWN_TEXT = 280  # characters
SHOWN_NAME = 80
SHOWN_KEYWORDS = 30
WORST = 10
FEW = 3  # documents to show where there is no difference to be seen


@dataclass(frozen=True)
class Named:
    """A keyword in one model's list."""

    keyword: str
    score: str
    only: bool  # the other model does not name it
    moved: str  # where it stands in the other model's list, if elsewhere
    off: str  # how far the score is from the other model's, on the compiled side


@dataclass(frozen=True)
class Document:
    """One document in one mode."""

    id: str
    place: str  # its set and mode
    same: bool
    figures: str
    text: str
    ranks: list[tuple[Named | None, Named | None]]  # uncompiled, compiled
    left_out: int  # further keywords

    @property
    def is_marked(self) -> bool:
        """Whether there is a mark to explain."""
        return any(named and (named.only or named.moved) for pair in self.ranks for named in pair)


def worst(evidence: Evidence) -> tuple[str, list[Document]]:
    """What there is to say of the documents that differ most, and those documents; a few of them where none differs."""
    rows = [_document(evidence, row) for row in evidence.worst[:WORST]]
    different = [row for row in rows if not row.same]
    if different:
        number = sum(row["agreement"] != 1 for row in evidence.documents)
        shown = words.plural(len(different), "document", "documents")
        return (
            f"Where the two models' answers differ, the worst first: {shown} here, "
            f"{words.plural(number, 'answer')} of {words.count(len(evidence.documents))} in all.",
            different,
        )
    if rows:
        return (
            f"Both models give the same answer to every document, ties aside. The {len(rows[:FEW])} that come nearest "
            "to a difference:",
            rows[:FEW],
        )
    kept = _kept(evidence)
    if kept:
        said = "The checks left no list of the worst documents. From the predictions that are kept with the model:"
        return said, [_document(evidence, row) for row in kept]
    return "There are no documents to show: the checks did not get as far as comparing answers.", []


def _kept(evidence: Evidence) -> list[Row]:
    """The first golden samples in the first mode, as predictions.json has them."""
    inputs, expected, actual = (evidence.predictions.get(name) for name in ("inputs", "expected", "predictions"))
    if not all(isinstance(each, list) and each for each in (inputs, expected, actual)):
        return []
    wanted, found = expected[0], actual[0]  # type: ignore[index]
    if not isinstance(wanted, list) or not isinstance(found, list):
        return []
    rows: list[Row] = []
    for index, (text, one, other) in enumerate(zip(inputs, wanted, found, strict=False)):  # type: ignore[arg-type]
        if len(rows) < FEW and isinstance(text, str) and _is_answer(one) and _is_answer(other):
            row = {"id": f"golden sample {index + 1}", "set": "golden", "mode": 0, "text": text}
            rows.append({**row, "expected": one, "actual": other, "agreement": int(one == other)})
    return rows


def _is_answer(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def _document(evidence: Evidence, row: Row) -> Document:
    wanted, found = row["expected"], row["actual"]
    both = list(zip_longest(_named(wanted, found, False), _named(found, wanted, True)))
    known = [f"{label} {words.number(finite(row[name]))}" for name, label in FIGURES.items() if name in row]
    return Document(
        id=words.shorten(row["id"], SHOWN_NAME),
        place=f"{words.shorten(row['set'], SHOWN_NAME)}, {mode_of(evidence, row['mode'])}",
        same=row["agreement"] == 1,
        figures=", ".join(known),
        text=words.shorten(row["text"], SHOWN_TEXT),
        ranks=both[:SHOWN_KEYWORDS],
        left_out=max(0, len(both) - SHOWN_KEYWORDS),
    )


FIGURES = {"overlap": "overlap", "rbo": "rank-biased overlap", "score_difference": "largest score difference"}


def _named(own: Sequence[Any], others: Sequence[Any], compiled: bool) -> list[Named]:
    places = {pair[0]: place for place, pair in reversed(list(enumerate(others, 1)))}
    scores = {pair[0]: finite(pair[1]) for pair in reversed(others)}
    result = []
    for place, (keyword, given) in enumerate(own, 1):
        score, other = finite(given), scores.get(keyword)
        there = places.get(keyword)
        off = None if score is None or other is None else score - other
        result.append(
            Named(
                keyword=words.shorten(keyword, SHOWN_NAME),
                score="not finite" if score is None else words.fixed(score, 4),
                only=there is None,
                moved=f"{there}" if there is not None and there != place else "",
                off=f"{off:+.4f}" if compiled and off is not None and abs(off) >= SAME else "",
            )
        )
    return result
