"""Rankings are those of KeyBERT's own functions, on vectors of every kind."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from keybert._maxsum import max_sum_distance
from keybert._mmr import mmr
from sklearn.metrics.pairwise import cosine_similarity

from modelkiln.keywords import ranking

SEEDS = range(25)


def vectors(seed: int, n: int) -> tuple[Any, Any, list[str]]:
    """A document and n candidates that are as alike as words of one text are."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=32)
    candidates = (rng.normal(size=(n, 32)) + common).astype(np.float32)
    return (rng.normal(size=32) + common).astype(np.float32), candidates, [f"w{i}" for i in range(n)]


def named(found: ranking.Ranking, words: list[str]) -> list[tuple[str, float]]:
    return [(words[index], round(score, 4)) for index, score in found]


def assert_same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1.01e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "top_n"), [(1, 5), (4, 5), (40, 1), (40, 5), (200, 12)])
def test_cosine_ranks_as_keybert_does(seed: int, n: int, top_n: int) -> None:
    document, candidates, words = vectors(seed, n)
    distances = cosine_similarity(document[None], candidates)
    expected = [(words[i], round(float(distances[0][i]), 4)) for i in distances.argsort()[0][-top_n:]][::-1]
    assert_same(named(ranking.by_cosine(document, candidates, top_n), words), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("diversity", [0, 0.3, 0.7, 1])
@pytest.mark.parametrize(("n", "top_n"), [(1, 5), (4, 5), (60, 7)])
def test_mmr_ranks_as_keybert_does(seed: int, diversity: float, n: int, top_n: int) -> None:
    document, candidates, words = vectors(seed, n)
    expected = mmr(document[None], candidates, words, top_n, diversity)
    assert_same(named(ranking.by_mmr(document, candidates, top_n, diversity), words), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "top_n", "nr"), [(1, 1, 20), (4, 5, 20), (5, 5, 20), (60, 1, 10), (60, 4, 10)])
def test_max_sum_ranks_as_keybert_does(seed: int, n: int, top_n: int, nr: int) -> None:
    document, candidates, words = vectors(seed, n)
    expected = max_sum_distance(document[None], candidates, words, top_n, nr)
    assert_same(named(ranking.by_max_sum(document, candidates, top_n, nr), words), expected)


def test_max_sum_gives_the_same_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    document, candidates, _ = vectors(0, 40)
    whole = ranking.by_max_sum(document, candidates, 4, 14)
    monkeypatch.setattr(ranking, "COMBINATIONS_AT_ONCE", 7)
    assert ranking.by_max_sum(document, candidates, 4, 14) == whole


def test_max_sum_compares_only_the_nearest_with_each_other() -> None:
    """A long document has tens of thousands of candidates, and their square would not fit into memory."""
    document, candidates, _ = vectors(0, 4000)
    tracemalloc.start()
    ranking.by_max_sum(document, candidates, 3, 10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * candidates.nbytes < 4000 * 4000 * 4


def test_vector_that_is_all_but_zero_scores_as_in_keybert() -> None:
    document, candidates, words = vectors(0, 30)
    candidates[3] *= 1e-8
    candidates[4] *= 1e-5
    assert_same(
        named(ranking.by_mmr(document, candidates, 30, 0.5), words), mmr(document[None], candidates, words, 30, 0.5)
    )


def test_zero_vector_scores_zero() -> None:
    document, candidates, _ = vectors(0, 3)
    candidates[1] = 0
    assert dict(ranking.by_cosine(document, candidates, 3))[1] == 0
