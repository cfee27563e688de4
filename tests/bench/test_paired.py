"""Ratios of two that were measured in turns: what differs is told from what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.bench.paired import MOST_BLOCKS, MOST_SECONDS, percentile, ratio, warm_up


def pairs(generator: random.Random, number: int, faster: float, noise: float) -> list[tuple[float, float]]:
    """Seconds of two, the second one so many times faster, on a machine that slows down by and by."""

    def seconds(factor: float, slower: float) -> float:
        return factor * slower * generator.lognormvariate(0, noise)

    return [(seconds(faster, 1 + 0.2 * index), seconds(1, 1 + 0.2 * index)) for index in range(number)]


@pytest.mark.parametrize("number", [2, 4, 16])
@pytest.mark.parametrize("noise", [0.001, 0.05])
def test_one_against_itself_is_told_apart_no_more_than_once_in_twenty(number: int, noise: float) -> None:
    generator = random.Random(number)
    told = [ratio(pairs(generator, number, 1, noise)).distinguishable for _ in range(2000)]
    assert 0.03 < sum(told) / len(told) < 0.07


def test_twice_as_fast_is_told_apart() -> None:
    found = ratio(pairs(random.Random(0), 4, 2, 0.05))
    assert found.distinguishable
    assert 1 < found.low < 2 < found.high
    assert found.ratio == pytest.approx(2, rel=0.1)


def test_half_as_fast_is_told_apart_as_less_than_one() -> None:
    found = ratio([(1.0, 2.0), (1.1, 2.2), (1.0, 2.1)])
    assert found.distinguishable
    assert found.high < 1


def test_interval_is_that_of_students_t() -> None:
    # By hand: logs of 2 and 4 have a mean of log sqrt(8) and a standard error of log(2) / 2; t is 12.706.
    found = ratio([(2.0, 1.0), (4.0, 1.0)])
    assert found.ratio == pytest.approx(8**0.5)
    assert found.high / found.ratio == pytest.approx(2 ** (12.706 / 2))
    assert found.ratio / found.low == pytest.approx(2 ** (12.706 / 2))
    assert not found.distinguishable


@pytest.mark.parametrize(
    ("samples", "percent", "expected"),
    [
        (range(1, 101), 50, 50),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),
        (range(100, 0, -1), 99, 99),
        (range(1, 201), 99, 198),
        (range(1, 25), 95, 23),
        (range(1, 25), 99, 24),
        (range(1, 20), 95, 19),
        ([7], 50, 7),
        ([7], 99, 7),
        ([3, 1, 2], 50, 2),
    ],
)
def test_percentile_is_a_sample_by_its_rank(samples: list[float], percent: int, expected: float) -> None:
    assert percentile(samples, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 99))
def test_percentile_is_the_least_that_so_many_do_not_exceed(samples: list[float], percent: int) -> None:
    found = percentile(samples, percent)
    assert found in samples
    assert sum(each <= found for each in samples) * 100 >= percent * len(samples)
    assert sum(each < found for each in samples) * 100 < percent * len(samples)


def blocks_of(seconds: Iterator[float], taken: list[float]) -> Callable[[], float]:
    def block() -> float:
        taken.append(next(seconds))
        return taken[-1]

    return block


def test_warm_up_ends_when_two_blocks_in_a_row_take_the_same() -> None:
    taken: list[float] = []
    assert warm_up(blocks_of(iter([5.0, 2.0, 1.0, 1.04, 1.0]), taken))
    assert taken == [5.0, 2.0, 1.0, 1.04]


def test_series_that_never_gets_steady_is_marked_and_ended() -> None:
    taken: list[float] = []
    assert not warm_up(blocks_of((1.1**index for index in range(100)), taken))
    assert len(taken) == MOST_BLOCKS


def test_slow_series_ends_by_the_time_it_takes_but_not_before_two_blocks() -> None:
    taken: list[float] = []
    assert not warm_up(blocks_of(iter([4.0, 5.0, 6.0, 6.0]), taken))
    assert taken == [4.0, 5.0, 6.0]
    assert warm_up(blocks_of(iter([2 * MOST_SECONDS, 2 * MOST_SECONDS]), []))
