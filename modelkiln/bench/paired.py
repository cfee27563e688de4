"""Figures of two that were measured in turns: how many times better one is, and whether that can be told at all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STEADY = 0.05  # of two blocks in a row, the longer one takes no more than this share more
MOST_BLOCKS = 6  # of a warm-up: a process that is not steady by then is measured as it is
MOST_SECONDS = 10.0  # of a warm-up that has done two blocks
# Student's t for 95% and 1, 2, 3 … degrees of freedom; beyond the last one it hardly changes, and only downward.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Ratio:
    """How many times better the second of two is."""

    ratio: float
    low: float
    high: float
    distinguishable: bool  # whether 1 is outside of low … high


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """How many times less of something (seconds, megabytes) the second one takes, with a 95% interval.

    The geometric mean of the pairs' ratios, and Student's interval of its logarithm: what is measured twice has a wide
    one, and of two that are the same one run in twenty says that they differ. Two pairs that both lean to one side
    prove nothing (of two that are the same, every second run has that), so least and most are no interval here.

    Args:
        pairs: What the first and the second one took, measured one after the other; two pairs at least.
    """
    logs = [math.log(first / second) for first, second in pairs]
    mean = statistics.mean(logs)
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    half = STUDENT[min(len(logs) - 1, len(STUDENT)) - 1] * error
    low, high = math.exp(mean - half), math.exp(mean + half)
    return Ratio(math.exp(mean), low, high, not low <= 1 <= high)


def percentile(samples: Sequence[float], percent: int) -> float:
    """The least of the samples that `percent` of them don't exceed: one that was measured, never one in between.

    Of fewer than 20 samples the 95th is the slowest one, of fewer than 100 the 99th.
    """
    return sorted(samples)[max(0, -(-len(samples) * percent // 100) - 1)]


def warm_up(block: Callable[[], float]) -> bool:
    """Does a block of work until two in a row take the same, within STEADY; False where that took too long.

    Too long: MOST_BLOCKS, or MOST_SECONDS once there were two.

    Args:
        block: Does the same work each time, and gives the seconds that it took.
    """
    taken = [block()]
    while len(taken) < 2 or (len(taken) < MOST_BLOCKS and sum(taken) < MOST_SECONDS):
        taken.append(block())
        if max(taken[-2:]) <= (1 + STEADY) * min(taken[-2:]):
            return True
    return False
