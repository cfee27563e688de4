"""Two sets of answers -> figures and failures: how far the compiled model is from the uncompiled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Keywords = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Parity:
    """What a comparison found."""

    figures: dict[str, float]
    failures: list[str] = field(default_factory=list)  # one line for each answer that is wrong


def compare_vectors(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Parity:
    """The smallest cosine and the largest absolute difference of two arrays of vectors, both (n, dimension).

    A figure is NaN where a vector is not finite, so that no bound holds for it.
    """
    if expected.shape != actual.shape:
        return Parity({}, [f"vectors of shape {actual.shape}, expected {expected.shape}"])
    exact = expected.astype(np.float64)
    found = actual.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
    both_zero = ~exact.any(axis=1) & ~found.any(axis=1)  # a text without a token: the same answer, without a direction
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(both_zero, 1.0, (exact * found).sum(axis=1) / lengths)
        return Parity(
            {
                "min_cosine": float(cosines.min()),
                "max_abs_difference": float(np.abs(exact - found).max()),
            }
        )


def compare_keywords(expected: Sequence[Keywords], actual: Sequence[Keywords], atol: float) -> Parity:
    """How two extractions over the same documents differ.

    Two keywords whose scores differ by at most `atol` are a tie: their order, and which of them is the last to be
    named, is nobody's answer, so a swap of them is no failure.

    Args:
        expected: For each document (keyword, score) pairs.
        actual: The same, to be judged.
        atol: The largest difference of scores that is none.

    Returns:
        `agreement` (share of documents with the same keywords in the same order), `max_score_difference` (of keywords
        that both name), and a failure for each document that differs.
    """
    if len(expected) != len(actual):
        return Parity({}, [f"answers for {len(actual)} documents, expected {len(expected)}"])
    failures, worst = [], 0.0
    for index, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
        scores = dict(wanted)
        differences = [_difference(score, scores[keyword]) for keyword, score in found if keyword in scores]
        # np.max, unlike max, does not lose a NaN.
        worst = float(np.max([worst, *differences]))
        if not _same(wanted, found, atol):
            failures.append(f"document {index}: found {list(found)}, expected {list(wanted)}")
    agreement = 1 - len(failures) / len(expected) if expected else 1.0
    return Parity({"agreement": agreement, "max_score_difference": worst}, failures)


def _same(wanted: Keywords, found: Keywords, atol: float) -> bool:
    if len(wanted) != len(found) or len({keyword for keyword, _ in found}) != len(found):
        return False
    scores = dict(wanted)
    # Position by position: the keyword found there must have, by the reference's own score where it names it, the score
    # that the reference has there. `not (… <= atol)` so that NaN is a difference.
    return all(
        _difference(score, wanted_score) <= atol
        and _difference(scores.get(keyword, wanted_score), wanted_score) <= atol
        for (_, wanted_score), (keyword, score) in zip(wanted, found, strict=True)
    )


def _difference(score: float, other: float) -> float:
    """Scores come rounded to 4 digits; 0.3002 - 0.3001 is to be 1e-4, and not a little more, as floats have it."""
    return round(abs(score - other), 9)
