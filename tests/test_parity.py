"""Comparisons find what is wrong, take ties for ties, and are never fooled by a NaN."""

from __future__ import annotations

import numpy as np
import pytest

from modelkiln.parity import compare_keywords, compare_vectors

WANTED = [("tram", 0.61), ("line", 0.5), ("rain", 0.49995), ("mayor", 0.3)]


def agrees(found: list[tuple[str, float]], wanted: list[tuple[str, float]] = WANTED) -> bool:
    return not compare_keywords([wanted], [found], 1e-4).failures


def test_same_keywords_agree() -> None:
    assert agrees(list(WANTED))
    assert agrees([(word, score + 1e-4) for word, score in WANTED])


def test_swap_of_two_that_score_the_same_is_no_failure() -> None:
    assert agrees([("tram", 0.61), ("rain", 0.5), ("line", 0.5), ("mayor", 0.3)])


def test_another_last_keyword_of_the_same_score_is_no_failure() -> None:
    assert agrees([*WANTED[:3], ("council", 0.30005)])


@pytest.mark.parametrize(
    "found",
    [
        [],
        WANTED[:3],
        [("line", 0.5), ("tram", 0.61), ("rain", 0.49995), ("mayor", 0.3)],
        [("tram", 0.6102), *WANTED[1:]],
        [*WANTED[:3], ("council", 0.29)],
        [*WANTED[:3], ("rain", 0.3)],
        [("tram", 0.61), ("tram", 0.61), *WANTED[2:]],
        [("tram", float("nan")), *WANTED[1:]],
        [("other", 0.61), *WANTED[1:3], ("tram", 0.3)],
    ],
)
def test_wrong_keywords_are_a_failure(found: list[tuple[str, float]]) -> None:
    assert not agrees(found)


def test_one_step_of_rounding_is_within_one_ten_thousandth() -> None:
    """0.3002 - 0.3001 is 1.0000000000004450e-04 in floats."""
    assert agrees([("tram", 0.3002)], [("tram", 0.3001)])


def test_figures_say_how_far_apart() -> None:
    figures = compare_keywords([WANTED, WANTED], [WANTED, [("tram", 0.62), *WANTED[1:]]], 1e-4).figures
    assert figures == {"agreement": 0.5, "max_score_difference": 0.01}


def test_missing_documents_are_a_failure() -> None:
    assert compare_keywords([WANTED, WANTED], [WANTED], 1e-4).failures


def test_vectors_have_their_worst_figures() -> None:
    expected = np.eye(3, dtype=np.float32)
    actual = expected.copy()
    actual[2] = [0, 0.6, 0.8]
    figures = compare_vectors(expected, actual).figures
    assert figures["min_cosine"] == pytest.approx(0.8)
    assert figures["max_abs_difference"] == pytest.approx(0.6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_vector_that_is_none_has_no_good_cosine(bad: float) -> None:
    expected = np.eye(2, dtype=np.float32)
    actual = expected.copy()
    actual[0] = bad
    assert not compare_vectors(expected, actual).figures["min_cosine"] >= -1


def test_two_vectors_of_nothing_are_the_same() -> None:
    nothing = np.zeros((1, 3), np.float32)
    assert compare_vectors(nothing, nothing).figures == {"min_cosine": 1.0, "max_abs_difference": 0.0}


def test_other_shape_is_a_failure() -> None:
    assert compare_vectors(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)).failures
