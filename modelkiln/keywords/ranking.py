"""Vectors of a document and of its candidates -> the best candidates, by the three ways that KeyBERT has.

Sources: KeyBERT 0.9 (cosine; maximal marginal relevance, Carbonell & Goldstein 1998; max sum distance). Arithmetic
stays in float32 and in KeyBERT's order of operations, so that near ties fall the same way. A document's vector is
(dimension,), its candidates' are (n, dimension); what comes back are (index, score) pairs, scores being cosines.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ranking = list[tuple[int, float]]

COMBINATIONS_AT_ONCE = 65536  # max sum tries every combination; this many at a time bound its memory


def by_cosine(document: Floats, candidates: Floats, top_n: int) -> Ranking:
    """The top_n candidates nearest to the document, the nearest first."""
    scores = _scores(document, _unit(candidates))
    return [(int(i), float(scores[i])) for i in scores.argsort()[-top_n:][::-1]]


def by_mmr(document: Floats, candidates: Floats, top_n: int, diversity: float) -> Ranking:
    """Picks one after the other: near to the document, far from what has been picked; sorted by score at the end.

    Args:
        document: (dimension,).
        candidates: (n, dimension).
        top_n: How many.
        diversity: 0 (nearness alone) to 1 (distance alone).
    """
    unit = _unit(candidates)
    scores = _scores(document, unit)
    nearness = (1 - diversity) * scores
    picked = [int(np.argmax(scores))]
    nearest_picked = unit @ unit[picked[0]]  # each candidate's greatest similarity to one that has been picked
    for _ in range(min(top_n, len(scores)) - 1):
        margin = nearness - diversity * nearest_picked
        margin[picked] = -np.inf
        picked.append(int(np.argmax(margin)))
        np.maximum(nearest_picked, unit @ unit[picked[-1]], out=nearest_picked)
    # KeyBERT sorts the rounded scores, and its sort is stable.
    return sorted(((i, float(scores[i])) for i in picked), key=lambda pair: round(pair[1], 4), reverse=True)


def by_max_sum(document: Floats, candidates: Floats, top_n: int, nr_candidates: int) -> Ranking:
    """Of the nr_candidates nearest to the document, the top_n that are the least similar to each other.

    The farthest from the document comes first, as in KeyBERT; nothing comes back when there are fewer than top_n.
    """
    if top_n > len(candidates):
        return []
    unit = _unit(candidates)
    scores = _scores(document, unit)
    nearest = scores.argsort()[-nr_candidates:]
    similarity = (unit[nearest] @ unit[nearest].T).ravel()
    best: tuple[int, ...] = ()
    least: float = np.inf
    for combinations in _combinations(len(nearest), top_n):
        total = np.zeros(combinations.shape[1], dtype=np.float32)
        rows = combinations * len(nearest)
        for i, j in itertools.permutations(range(top_n), 2):
            total += similarity.take(rows[i] + combinations[j])
        first = int(np.argmin(total))
        if total[first] < least:
            least, best = float(total[first]), tuple(combinations[:, first])
    return [(int(nearest[i]), float(scores[nearest[i]])) for i in best]


def _scores(document: Floats, unit_candidates: Floats) -> Floats:
    scores: Floats = unit_candidates @ _unit(document[None, :])[0]
    return scores


def _unit(vectors: Floats) -> Floats:
    """Vectors of length 1; one that is all but zero stays as it is, as scikit-learn's `normalize` leaves it."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    norms[norms < 10 * np.finfo(np.float32).eps] = 1
    return np.asarray(vectors / norms[:, None], dtype=np.float32)


def _combinations(n: int, size: int) -> Iterator[NDArray[np.intp]]:
    """The combinations of `size` of the numbers below n, in order, as the columns of arrays."""
    if math.comb(n, size) <= COMBINATIONS_AT_ONCE:
        yield _few_combinations(n, size)
        return
    combinations = itertools.combinations(range(n), size)
    while chunk := list(itertools.islice(combinations, COMBINATIONS_AT_ONCE)):
        yield _columns(chunk)


@functools.lru_cache(maxsize=4)  # listing them takes longer than all the rest, and most documents ask for the same
def _few_combinations(n: int, size: int) -> NDArray[np.intp]:
    columns = _columns(itertools.combinations(range(n), size))
    columns.flags.writeable = False
    return columns


def _columns(combinations: Iterable[tuple[int, ...]]) -> NDArray[np.intp]:
    return np.ascontiguousarray(np.array(list(combinations), dtype=np.intp).T)
