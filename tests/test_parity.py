"""Comparisons find what is wrong, take ties for ties, and are never fooled by a NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.parity import (
    Document,
    compare_keywords,
    compare_vectors,
    neighbours_overlap,
    rank_biased_overlap,
    vector_differences,
)

WANTED = [("tram", 0.61), ("line", 0.5), ("rain", 0.49995), ("mayor", 0.3)]
NAN = float("nan")

words = st.sampled_from("abcdefgh")
ranked = st.lists(
    st.tuples(words, st.integers(0, 9).map(lambda n: n / 1e4)), max_size=8, unique_by=lambda pair: pair[0]
)


def compare(found: list[tuple[str, float]], wanted: list[tuple[str, float]] = WANTED) -> Document:
    (document,) = compare_keywords([wanted], [found], 1e-4).documents
    return document


def agrees(found: list[tuple[str, float]], wanted: list[tuple[str, float]] = WANTED) -> bool:
    """What the strictest gate asks for."""
    parity = compare_keywords([wanted], [found], 1e-4)
    same = parity.figures["agreement"] == 1
    assert same == (not parity.failures)
    return same and parity.figures["max_score_difference"] <= 1e-4


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
        [("tram", NAN), *WANTED[1:]],
        [*WANTED[:3], ("council", NAN)],
        [("tram", float("inf")), *WANTED[1:]],
        [("other", 0.61), *WANTED[1:3], ("tram", 0.3)],
        [*WANTED, ("council", 0.2)],
    ],
)
def test_wrong_keywords_are_a_failure(found: list[tuple[str, float]]) -> None:
    assert not agrees(found)


def test_score_that_is_no_number_is_never_agreement() -> None:
    document = compare([("tram", NAN), *WANTED[1:]])
    assert (document.agreement, document.overlap) == (False, 0.75)
    neither = compare([("tram", NAN)], [("tram", NAN)])
    assert (neither.agreement, neither.overlap, neither.rbo) == (False, 0, 0)
    figures = compare_keywords([WANTED] * 3, [WANTED, [("tram", NAN), *WANTED[1:]], WANTED], 1e-4).figures
    assert math.isnan(figures["max_score_difference"])


def test_keyword_named_twice_is_never_two_that_are_tied() -> None:
    assert not agrees([("a", 0.5), ("a", 0.5)], [("a", 0.5), ("b", 0.5)])


def test_one_step_of_rounding_is_within_one_ten_thousandth() -> None:
    """0.3002 - 0.3001 is 1.0000000000004450e-04 in floats."""
    assert agrees([("tram", 0.3002)], [("tram", 0.3001)])
    assert agrees([("line", 0.3001), ("tram", 0.3002)], [("tram", 0.3002), ("line", 0.3001)])


def test_figures_say_how_far_apart() -> None:
    figures = compare_keywords([WANTED, WANTED], [WANTED, [("tram", 0.62), *WANTED[1:]]], 1e-4).figures
    assert figures == {"agreement": 1.0, "overlap": 1.0, "rbo": 1.0, "max_score_difference": 0.01}


def test_figures_are_means_over_the_documents() -> None:
    other = [("tram", 0.61), ("snow", 0.55), ("line", 0.5), ("mayor", 0.3)]
    parity = compare_keywords([WANTED, WANTED], [WANTED, other], 1e-4)
    assert (parity.documents[1].agreement, parity.documents[1].overlap) == (False, 0.75)
    # Agreement at depths 1 to 4: 1, 1/2, 2/3, 3/4; the deepest one's weight counts for all below it.
    by_hand = 0.1 * (1 + 0.9 / 2 + 0.81 * 2 / 3) + 0.9**3 * 3 / 4
    assert parity.documents[1].rbo == pytest.approx(by_hand)
    assert parity.figures["rbo"] == pytest.approx((1 + by_hand) / 2)
    assert (parity.figures["agreement"], parity.figures["overlap"]) == (0.5, 0.875)
    (failure,) = parity.failures
    assert failure.startswith("document 1: found [('tram', 0.61), ('snow', 0.55)")


def test_overlap_counts_what_both_name() -> None:
    assert compare(WANTED[:3]).overlap == 0.75
    assert compare([*WANTED, ("council", 0.2)]).overlap == 0.8
    assert compare([]) == Document(False, 0.0, 0.0, 0.0)
    assert compare([], []) == Document(True, 1.0, 1.0, 0.0)


def test_score_of_a_settled_tie_counts() -> None:
    """The reference ties `rain` with `line`; that the model judged it otherwise is a difference of scores."""
    document = compare([("tram", 0.61), ("rain", 0.45), ("line", 0.5), ("mayor", 0.3)])
    assert document == Document(True, 1.0, 1.0, pytest.approx(0.05))
    assert compare([*WANTED[:3], ("council", 0.30007)]).score_difference == pytest.approx(7e-5)


def test_tie_is_judged_by_the_reference_s_own_scores() -> None:
    """The found scores say that all is well; they are what is judged."""
    assert not compare([("line", 0.61), ("tram", 0.5), *WANTED[2:]]).agreement


def test_shifted_scores_leave_the_keywords_alone() -> None:
    shifted = compare([(word, score - 0.02) for word, score in WANTED])
    assert shifted == Document(True, 1.0, 1.0, pytest.approx(0.02))


def test_chain_of_ties_is_no_tie() -> None:
    """Each is tied with the next; the first and the last are not."""
    chain = [("a", 0.5002), ("b", 0.5001), ("c", 0.5)]
    assert compare([("b", 0.5001), ("a", 0.5002), ("c", 0.5)], chain).agreement
    document = compare([("b", 0.5001), ("c", 0.5), ("a", 0.5002)], chain)
    assert (document.agreement, document.overlap) == (False, 1.0)
    assert document.rbo < 1


def test_tie_does_not_hide_that_a_keyword_stands_elsewhere() -> None:
    """b for a is a tie, d for c too; but c itself stands where b belongs."""
    wanted = [("a", 0.5), ("b", 0.5), ("c", 0.3)]
    document = compare([("b", 0.5), ("c", 0.3), ("d", 0.3)], wanted)
    assert (document.agreement, document.overlap) == (False, pytest.approx(2 / 3))


@given(ranked)
def test_identical_answers_are_exactly_the_same(answer: list[tuple[str, float]]) -> None:
    assert compare(answer, answer) == Document(True, 1.0, 1.0, 0.0)


@given(st.lists(ranked, min_size=1, max_size=9))
def test_means_of_identical_answers_are_exactly_one(answers: list[list[tuple[str, float]]]) -> None:
    figures = compare_keywords(answers, answers, 0.0).figures
    assert figures == {"agreement": 1.0, "overlap": 1.0, "rbo": 1.0, "max_score_difference": 0.0}


@given(ranked, st.lists(st.tuples(words, st.sampled_from([0.0, 1e-4, 2e-4, 5e-4, NAN])), max_size=8))
def test_figures_are_shares_that_agree_with_each_other(
    wanted: list[tuple[str, float]], found: list[tuple[str, float]]
) -> None:
    document = compare(found, wanted)
    assert 0 <= document.rbo <= 1
    assert 0 <= document.overlap <= 1
    assert document.agreement == (document.rbo == 1)
    assert not (document.agreement and document.overlap < 1)
    exact = compare_keywords([wanted], [found], 0.0).documents[0]
    raw = {word for word, score in wanted} & {word for word, score in found if not math.isnan(score)}
    if not any(math.isnan(score) for _, score in found):
        longest = max(len(wanted), len(found), 1)
        assert document.overlap >= len(raw) / longest - 1e-12 or not wanted  # settling takes nothing away
        assert exact.overlap >= len(raw) / longest - 1e-12 or not wanted
    else:
        assert math.isnan(document.score_difference)
        assert not document.agreement


@given(ranked, st.randoms())
def test_order_among_equal_scores_is_nobody_s_answer(wanted: list[tuple[str, float]], random: object) -> None:
    wanted = sorted(wanted, key=lambda pair: -pair[1])
    found = wanted.copy()
    random.shuffle(found)  # type: ignore[attr-defined]
    found.sort(key=lambda pair: -pair[1])
    assert compare_keywords([wanted], [found], 0.0).documents == [Document(True, 1.0, 1.0, 0.0)]


def test_documents_are_all_there_or_it_is_a_failure() -> None:
    assert compare_keywords([WANTED, WANTED], [WANTED], 1e-4).failures


def test_rank_biased_overlap_is_the_paper_s() -> None:
    """Equation 30 at depth 3 and p = 0.9, written out: X is 0, 2, 3."""
    by_hand = 3 / 3 * 0.9**3 + (1 - 0.9) / 0.9 * (0 / 1 * 0.9 + 2 / 2 * 0.9**2 + 3 / 3 * 0.9**3)
    assert rank_biased_overlap(["a", "b", "c"], ["b", "a", "c"]) == pytest.approx(by_hand) == pytest.approx(0.9)


def test_what_a_shorter_list_lacks_is_missing() -> None:
    assert rank_biased_overlap(["a", "b"], ["a"]) == pytest.approx(0.1 + 0.9 / 2)
    assert rank_biased_overlap(["a"], []) == 0


@given(st.permutations("abcde"), st.permutations("abcde"))
def test_rank_biased_overlap_is_symmetric(one: list[str], other: list[str]) -> None:
    assert rank_biased_overlap(one, other) == rank_biased_overlap(other, one)


def test_first_ranks_weigh_most() -> None:
    assert rank_biased_overlap("abcd", "bacd") < rank_biased_overlap("abcd", "abdc")


def test_vectors_have_their_worst_figures() -> None:
    expected = np.eye(3, dtype=np.float32) * 2
    actual = expected.copy()
    actual[2] = [0, 0.6, 0.8]
    actual[1] = [0, 2.5, 0]
    figures = compare_vectors(expected, actual).figures
    assert figures["min_cosine"] == pytest.approx(0.8)
    assert figures["max_abs_difference"] == pytest.approx(1.2)
    assert figures["max_rel_difference"] == pytest.approx(math.hypot(0.6, 1.2) / 2)
    assert figures["max_norm_difference"] == pytest.approx(0.5)
    assert figures["finite"] == 1.0
    cosines, differences = vector_differences(expected, actual)
    assert cosines == pytest.approx([1, 1, 0.8])
    assert differences == pytest.approx([0, 0.5, 1.2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_vector_that_is_not_finite_has_no_good_figure(bad: float, side: int) -> None:
    pair = [np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)]
    pair[side][0, 1] = bad
    figures = compare_vectors(*pair).figures
    assert figures.pop("finite") == 0.0
    assert len(figures) == 4
    assert all(math.isnan(value) for value in figures.values())
    cosines, differences = vector_differences(*pair)
    assert np.isnan(cosines).tolist() == np.isnan(differences).tolist() == [True, False]


def test_the_same_infinity_on_both_sides_is_not_the_same() -> None:
    infinite = np.full((1, 2), np.inf, np.float32)
    assert not compare_vectors(infinite, infinite).figures["max_abs_difference"] <= 1e9


def test_zeros_for_a_vector_have_no_good_cosine() -> None:
    figures = compare_vectors(np.eye(2, dtype=np.float32), np.diag([0, 1]).astype(np.float32)).figures
    assert not figures["min_cosine"] >= -1
    assert (figures["max_rel_difference"], figures["max_norm_difference"]) == (1, 1)


def test_vector_for_zeros_is_infinitely_far() -> None:
    figures = compare_vectors(np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)).figures
    assert not figures["min_cosine"] >= -1
    assert figures["max_rel_difference"] == figures["max_norm_difference"] == math.inf


def test_two_vectors_of_nothing_are_the_same() -> None:
    nothing = np.zeros((1, 3), np.float32)
    assert compare_vectors(nothing, nothing).figures == {
        "min_cosine": 1.0,
        "max_abs_difference": 0.0,
        "max_rel_difference": 0.0,
        "max_norm_difference": 0.0,
        "finite": 1.0,
    }


def test_other_shape_is_a_failure() -> None:
    assert compare_vectors(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)).failures


def test_no_vectors_at_all_are_a_failure() -> None:
    assert compare_vectors(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)).failures


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_figures_are_those_of_a_scaled_vector(seed: int, factor: float) -> None:
    expected = np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32)
    figures = compare_vectors(expected, expected.astype(np.float64) * factor).figures
    assert figures["min_cosine"] == pytest.approx(1)
    assert figures["max_rel_difference"] == pytest.approx(abs(factor - 1), abs=1e-9)
    assert figures["max_norm_difference"] == pytest.approx(abs(factor - 1), abs=1e-9)


def circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_neighbours_are_counted_by_hand() -> None:
    """The nearest two of each of five; then the last text moves to the other end."""
    expected, actual = circle(0, 10, 25, 45, 70), circle(0, 10, 25, 45, -30)
    # 0: {10, 25} / {10, 25}; 10: {0, 25} / same; 25: {10, 45} / {10, 45}; 45: {25, 70} / {25, 10};
    # 70: {45, 25} / {0, 10}
    assert neighbours_overlap(expected, actual, k=2) == pytest.approx((1 + 1 + 1 + 0.5 + 0) / 5)


def test_neighbour_within_the_tie_is_as_good() -> None:
    expected, actual = circle(0, 10, -10.5), circle(0, 10, -9.5)
    assert neighbours_overlap(expected, actual, k=1) == pytest.approx(2 / 3)
    assert neighbours_overlap(expected, actual, k=1, tie_atol=0.002) == 1


def test_neighbours_are_bounded_by_the_texts_there_are() -> None:
    assert neighbours_overlap(circle(0, 10, 20), circle(0, 50, 10), k=10) == 1
    assert neighbours_overlap(circle(0), circle(50)) == 1
    assert neighbours_overlap(circle(), circle()) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_neighbours_of_no_vector_are_no_number(bad: float) -> None:
    good, broken = circle(0, 10, 20), circle(0, 10, 20)
    broken[1, 0] = bad
    assert math.isnan(neighbours_overlap(good, broken, k=1))
    assert math.isnan(neighbours_overlap(broken, good, k=1))


def test_neighbours_of_other_texts_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="of 2 texts, expected 3"):
        neighbours_overlap(circle(0, 10, 20), circle(0, 10))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0.1, 10))
def test_length_of_a_vector_and_copies_of_a_text_change_no_neighbour(seed: int, k: int, factor: float) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(8, 3)).astype(np.float32)
    vectors = np.concatenate([vectors, vectors[:4], np.zeros((1, 3), np.float32)])  # the same text twice is a tie
    longer = (vectors * random.uniform(factor, 2 * factor, size=(len(vectors), 1))).astype(np.float32)
    assert neighbours_overlap(vectors, longer, k=k, tie_atol=1e-6) == 1


def test_model_that_gives_every_text_one_vector_has_lost_the_neighbours() -> None:
    expected = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    assert neighbours_overlap(expected, np.ones_like(expected)) < 0.5
