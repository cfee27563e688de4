"""Precision, recall and F1 are what a pencil says, and the loss between two models comes with an honest interval."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.keywords import ngrams
from modelkiln.quality import WORD, Loss, normalise, paired_bootstrap, score

shares = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=30)
phrase = st.sampled_from(["tram", "Tram", "tram line", "rain", "a", "", "mayor", "city hall"])


def keywords(*phrases: str) -> list[tuple[str, float]]:
    return [(phrase, 1 - index / 10) for index, phrase in enumerate(phrases)]


def test_figures_are_counted_by_hand() -> None:
    """Two of three named are right, and two of four gold ones are named; then one of one, and one of one."""
    found = [keywords("tram", "rain", "city hall", "mayor"), keywords("snow")]
    gold = [["Tram", "city  hall", "mayor", "line"], ["snow"]]
    quality = score(found, gold, 3)
    assert quality.precision == pytest.approx((2 / 3 + 1) / 2)
    assert quality.recall == pytest.approx((2 / 4 + 1) / 2)
    assert quality.f1_of == (pytest.approx(4 / 7), 1.0)
    assert quality.f1 == pytest.approx((4 / 7 + 1) / 2)


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    quality = score([keywords("tram", "rain", "snow")], [["tram", "line", "mayor", "council"]], 5)
    harmonic = 2 * quality.precision * quality.recall / (quality.precision + quality.recall)
    assert quality.f1 == pytest.approx(harmonic)


def test_only_the_first_n_count() -> None:
    found = [keywords("rain", "tram")]
    assert score(found, [["tram"]], 1).f1 == 0
    assert score(found, [["tram"]], 2).recall == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Night  Trains", "night trains"),
        ("hill-climb", "hill climb"),
        ("  the «Straße»\n", "the strasse"),
        ("vitamin C", "vitamin"),
        ("a", ""),
        ("ÁRBOLES", "árboles"),
    ],
)
def test_phrases_are_compared_as_words(given: str, expected: str) -> None:
    assert normalise(given) == expected


def test_words_are_those_of_the_candidates() -> None:
    assert WORD == ngrams.WORD


def test_gold_phrase_counts_once_and_only_where_it_has_a_word() -> None:
    assert score([keywords("tram")], [["tram", "TRAM", "a", "?!"]], 5).recall == 1


def test_keyword_that_is_found_twice_is_right_once() -> None:
    assert score([keywords("tram", "Tram", "rain")], [["tram", "line"]], 5).precision == 0.5


def test_document_without_gold_phrases_is_left_out() -> None:
    quality = score([keywords("tram"), keywords("tram"), keywords("tram")], [[], ["tram"], ["a"]], 5)
    assert quality.f1_of == (1.0,)
    assert math.isnan(score([keywords("tram")], [[]], 5).f1)


def test_document_without_keywords_has_found_nothing() -> None:
    quality = score([[]], [["tram"]], 5)
    assert (quality.precision, quality.recall, quality.f1) == (0, 0, 0)


def test_stem_is_another_word() -> None:
    assert score([keywords("trams")], [["tram"]], 5).f1 == 0


@given(st.lists(st.tuples(st.lists(phrase, max_size=6), st.lists(phrase, max_size=6)), max_size=5), st.integers(1, 8))
def test_more_keywords_never_lose_recall(documents: list[tuple[list[str], list[str]]], n: int) -> None:
    found, gold = [keywords(*named) for named, _ in documents], [right for _, right in documents]
    fewer, more = score(found, gold, n), score(found, gold, n + 1)
    assert all(0 <= f1 <= 1 for f1 in fewer.f1_of)
    assert math.isnan(fewer.recall) or 0 <= fewer.recall <= more.recall <= 1
    # Naming the gold phrases themselves is as good as it gets.
    best = score([keywords(*right) for right in gold], gold, 10)
    assert math.isnan(best.f1) or best.precision == best.recall == best.f1 == 1


@given(shares)
def test_same_scores_have_lost_exactly_nothing(scores: list[float]) -> None:
    assert paired_bootstrap(scores, scores, resamples=50) == Loss(0.0, 0.0, 0.0)


@given(st.floats(0, 1), st.floats(0, 1))
def test_interval_of_one_document_is_its_difference(one: float, other: float) -> None:
    assert paired_bootstrap([one], [other], resamples=50) == Loss(one - other, one - other, one - other)


@given(shares, st.integers(0, 100), st.randoms())
def test_interval_lies_among_the_differences(expected: list[float], seed: int, random: object) -> None:
    actual = expected.copy()
    random.shuffle(actual)  # type: ignore[attr-defined]
    loss = paired_bootstrap(expected, actual, seed, resamples=50)
    assert loss == paired_bootstrap(expected, actual, seed, resamples=50)
    differences = [one - other for one, other in zip(expected, actual, strict=True)]
    assert min(differences) - 1e-9 <= loss.low <= loss.high <= max(differences) + 1e-9
    assert loss.mean == pytest.approx(sum(differences) / len(differences))


def test_interval_is_about_two_standard_errors_wide() -> None:
    """200 documents, of which every second loses 0.2: the standard error is 0.1 / sqrt(200)."""
    loss = paired_bootstrap([0.5] * 200, [0.5, 0.3] * 100)
    assert loss.mean == pytest.approx(0.1)
    assert loss.low == pytest.approx(0.1 - 1.96 * 0.1 / math.sqrt(200), abs=0.002)
    assert loss.high == pytest.approx(0.1 + 1.96 * 0.1 / math.sqrt(200), abs=0.002)


def test_interval_is_of_pairs() -> None:
    """Documents differ widely, the models by the same everywhere: the loss is certain."""
    expected = [index / 100 for index in range(100)]
    loss = paired_bootstrap(expected, [each - 0.05 for each in expected])
    assert loss.high - loss.low < 1e-9
    assert loss.mean == pytest.approx(0.05)


def test_gain_is_a_negative_loss() -> None:
    assert paired_bootstrap([0.1, 0.2], [0.3, 0.5]).high < 0


@pytest.mark.parametrize("scores", [[], [math.nan, 0.5]])
def test_loss_of_what_is_no_number_is_none(scores: list[float]) -> None:
    loss = paired_bootstrap(scores, [0.5] * len(scores))
    assert math.isnan(loss.mean)
    assert math.isnan(loss.low)
    assert math.isnan(loss.high)


def test_scores_of_other_documents_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="of 1 documents, expected 2"):
        paired_bootstrap([0.5, 0.5], [0.5])
