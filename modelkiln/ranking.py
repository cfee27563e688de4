"""Vectors of a document and of its candidates -> the best candidates, by the three ways that KeyBERT has.

Sources: KeyBERT 0.9 (cosine; maximal marginal relevance, Carbonell & Goldstein 1998; max sum distance). Arithmetic
stays in float32 and in KeyBERT's order of operations, so that near ties fall the same way. A document's vector is
(dimension,), its candidates' are (n, dimension); what comes back are (index, score) pairs, scores being cosines.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ranking = list[tuple[int, float]]

COMBINATIONS_AT_ONCE = 65536  # max sum tries every combination; this many at a time bound its memory


def by_cosine(document: Floats, candidates: Floats, top_n: int) -> Ranking:
    """The top_n candidates nearest to the document, the nearest first."""
    scores = _scores(document, candidates)
    return [(int(i), float(scores[i])) for i in scores.argsort()[-top_n:][::-1]]


def by_mmr(document: Floats, candidates: Floats, top_n: int, diversity: float) -> Ranking:
    """Picks one after the other: near to the document, far from what has been picked; sorted by score at the end.

    Args:
        document: (dimension,).
        candidates: (n, dimension).
        top_n: How many.
        diversity: 0 (nearness alone) to 1 (distance alone).
    """
    scores = _scores(document, candidates)
    unit = _unit(candidates)
    picked = [int(np.argmax(scores))]
    left = np.delete(np.arange(len(scores)), picked[0])
    nearest_picked = unit @ unit[picked[0]]  # each candidate's greatest similarity to one that has been picked
    for _ in range(min(top_n, len(scores)) - 1):
        margin = (1 - diversity) * scores[left] - diversity * nearest_picked[left]
        position = int(np.argmax(margin))
        picked.append(int(left[position]))
        left = np.delete(left, position)
        nearest_picked = np.maximum(nearest_picked, unit @ unit[picked[-1]])
    # KeyBERT sorts the rounded scores, and its sort is stable.
    return sorted(((i, float(scores[i])) for i in picked), key=lambda pair: round(pair[1], 4), reverse=True)


def by_max_sum(document: Floats, candidates: Floats, top_n: int, nr_candidates: int) -> Ranking:
    """Of the nr_candidates nearest to the document, the top_n that are the least similar to each other.

    The farthest from the document comes first, as in KeyBERT; nothing comes back when there are fewer than top_n.
    """
    if top_n > len(candidates):
        return []
    scores = _scores(document, candidates)
    nearest = scores.argsort()[-nr_candidates:]
    unit = _unit(candidates)
    similarity = (unit @ unit.T)[np.ix_(nearest, nearest)]
    best: tuple[Any, ...] = ()
    least: float = np.inf
    for combinations in _combinations(len(nearest), top_n):
        total = np.zeros(len(combinations), dtype=np.float32)
        for i, j in itertools.permutations(range(top_n), 2):
            total += similarity[combinations[:, i], combinations[:, j]]
        first = int(np.argmin(total))
        if total[first] < least:
            least, best = float(total[first]), tuple(combinations[first])
    return [(int(nearest[i]), float(scores[nearest[i]])) for i in best]


def _scores(document: Floats, candidates: Floats) -> Floats:
    scores: Floats = _unit(candidates) @ _unit(document[None, :])[0]
    return scores


def _unit(vectors: Floats) -> Floats:
    """Vectors of length 1; a zero vector stays as it is."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.where(norms == 0, 1, norms).astype(np.float32)[:, None], dtype=np.float32)


def _combinations(n: int, size: int) -> Iterator[NDArray[np.intp]]:
    combinations = itertools.combinations(range(n), size)
    while chunk := list(itertools.islice(combinations, COMBINATIONS_AT_ONCE)):
        yield np.array(chunk, dtype=np.intp)
