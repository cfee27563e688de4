"""A bound below what the uncompiled model differs by from itself is refused, by its own check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelkiln.bounds import STRICT
from modelkiln.checks.plugin import Judge
from modelkiln.checks.test_noise import test_bounds_are_above_the_uncompiled_models_own_noise as judge_noise
from modelkiln.figures import NOISE


class Noisy:
    """Its vectors differ in the seventh digit with the number of threads."""

    def again(self, texts: list[str], threads: int | None = None) -> Any:
        vectors = np.ones((len(texts), 4), dtype=np.float32)
        return vectors if threads is None else vectors * np.float32(1 + 3e-7)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"atol": 1e-7}, "max_abs_difference_of_threads is 3.576e-07, has to be at most 1e-07"),
        ({"rtol": 1e-8}, "max_rel_difference_of_threads is"),
        ({"invariance_atol": 1e-8}, "invariance is"),
        ({"score_atol": 1e-5}, "rounding_of_scores is 0.0001, has to be at most 1e-05"),
        ({"tie_atol": 1e-5}, "rounding_of_ties is 0.0001, has to be at most 1e-05"),
    ],
)
def test_bound_below_the_models_own_noise_is_refused(bounds: dict[str, float], said: str) -> None:
    judge = Judge(NOISE, replace(STRICT, **bounds), [])
    with pytest.raises(AssertionError, match="a bound below the uncompiled model's own noise means nothing") as raised:
        judge_noise(Noisy(), ["a", "b"], judge)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_bounds_above_the_models_own_noise_stand() -> None:
    judge = Judge(NOISE, STRICT, [])
    judge_noise(Noisy(), ["a", "b"], judge)  # type: ignore[arg-type]
    assert not judge.broken
