"""The uncompiled model's own noise: a bound below what it differs by from itself would mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Uncompiled
from modelkiln.parity import compare_vectors

MOST = 6  # texts; each is encoded four times
ROUNDING = 1e-4  # of a score; two that are nearly equal may be rounded apart


@pytest.mark.of_the_source
def test_bounds_are_above_the_uncompiled_models_own_noise(
    uncompiled: Uncompiled, texts: list[str], judge: Judge
) -> None:
    texts = texts[:: -(-len(texts) // MOST)]
    once = uncompiled.again(texts)
    by_runs = compare_vectors(once, uncompiled.again(texts)).figures
    by_threads = compare_vectors(once, uncompiled.again(texts, threads=1)).figures
    by_neighbours = compare_vectors(once, np.concatenate([uncompiled.again([text]) for text in texts])).figures
    noises = (by_runs, by_threads, by_neighbours)
    for name in ("max_abs_difference", "max_rel_difference"):
        judge.hold(f"{name}_of_runs", by_runs[name])
        judge.hold(f"{name}_of_threads", by_threads[name])
        judge.hold(f"{name}_of_neighbours", by_neighbours[name])
    judge.hold("invariance", max(noise["max_abs_difference"] for noise in noises))
    judge.hold("min_cosine", min(noise["min_cosine"] for noise in noises))
    judge.hold("rounding_of_scores", ROUNDING)
    judge.hold("rounding_of_ties", ROUNDING)
    assert not judge.broken, (
        f"{'; '.join(judge.broken)}: a bound below the uncompiled model's own noise means nothing; raise it"
    )
