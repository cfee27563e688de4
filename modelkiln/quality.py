"""Keywords and gold key phrases -> precision, recall and F1, and how much of it a compiled model loses.

A phrase is right where it is a gold phrase, word for word, after normalising. There is no stemming, which published
figures mostly have, and a gold phrase with a stop word in it ("friends of the earth") can never be found. Both make the
absolute figures lower than published ones. They hold for the two models alike, whose difference is asked for here, and
a stemmer would hide a difference: "network" for "networks" is another answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# A word of scikit-learn's CountVectorizer by default: keywords are chosen among phrases of such words.
WORD = re.compile(r"(?u)\b\w\w+\b")
TAIL = 2.5  # percent on either side of a 95% interval


@dataclass(frozen=True)
class Quality:
    """Means over the documents that have gold key phrases; NaN where none has."""

    precision: float
    recall: float
    f1: float
    f1_of: tuple[float, ...]  # of each document that has gold key phrases, in their order


@dataclass(frozen=True)
class Loss:
    """What the compiled model loses, negative where it wins."""

    mean: float
    low: float  # of the 95% interval
    high: float


def normalise(phrase: str) -> str:
    """The phrase case-folded, its words of two or more word characters joined by one space."""
    return " ".join(WORD.findall(phrase.casefold()))


def score(found: Sequence[Sequence[tuple[str, float]]], gold: Sequence[Sequence[str]], n: int) -> Quality:
    """Precision, recall and F1 of the first n keywords of each document, and their means (macro averages).

    Args:
        found: For each document (keyword, score) pairs, the best first.
        gold: For each document its gold key phrases, in any order. One that is there twice counts once; one without a
            word is left out; a document that then has none is left out.
        n: How many keywords count. Precision is the share of right ones among those that are there, at most n.
    """
    scores = []
    for keywords, phrases in zip(found, gold, strict=True):
        right = set(_distinct(phrases))
        if right:
            named = _distinct(keyword for keyword, _ in keywords)[:n]
            hits = len(right.intersection(named))
            # F1 of counts: no division by a precision and a recall that are both 0.
            scores.append(
                (hits / len(named) if named else 0.0, hits / len(right), 2 * hits / (len(named) + len(right)))
            )
    if not scores:
        return Quality(math.nan, math.nan, math.nan, ())
    precision, recall, f1 = (sum(each) / len(scores) for each in zip(*scores, strict=True))
    return Quality(precision, recall, f1, tuple(each[2] for each in scores))


def paired_bootstrap(
    expected_scores: Sequence[float], actual_scores: Sequence[float], seed: int = 0, resamples: int = 2000
) -> Loss:
    """The mean of expected - actual over the documents, with its 95% interval; the same for the same numbers.

    The percentile interval of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3: documents
    are drawn with replacement, each with both its scores. NaN where there is no document, or a score is NaN.
    """
    if len(expected_scores) != len(actual_scores):
        raise ValueError(f"scores of {len(actual_scores)} documents, expected {len(expected_scores)}")
    losses = np.asarray(expected_scores, np.float64) - np.asarray(actual_scores, np.float64)
    if not losses.size:
        return Loss(math.nan, math.nan, math.nan)
    random = np.random.default_rng(seed)
    means = [losses[random.integers(losses.size, size=losses.size)].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [TAIL, 100 - TAIL])
    return Loss(float(losses.mean()), float(low), float(high))


def _distinct(phrases: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, map(normalise, phrases))))
