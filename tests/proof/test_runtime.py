"""The faults that lie in no file go wrong as they say, and only where the plug-in is loaded."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from modelkiln import layouts
from modelkiln.proof.runtime import RUNS

ROWS = [[101, 5, 9, 102], [101, 7, 102], [101, 5, 9, 102, 4, 4, 4]]


def run(*inputs: Any) -> Any:
    """As many vectors as a call has texts, each the sum of its text's tokens."""
    if len(inputs) == 2:
        return (inputs[0] * inputs[1]).sum(1, keepdims=True).astype(np.float32) * np.ones(4, np.float32)
    long_ids, short_ids, _, gather, _ = inputs
    sums = [*long_ids.sum(1), *((short_ids[gather.clip(0)]) * (gather >= 0)).sum(1)]
    return np.array(sums, np.float32)[:, None] * np.ones(4, np.float32)


def sums(run: Any, layout: str, rows: list[list[int]]) -> list[int]:
    found = [0] * len(rows)
    for indices, inputs in layouts.batches(layout, rows, 8, 0):
        for index, vector in zip(indices, run(*inputs), strict=False):
            found[index] = int(vector[0])
    return found


RIGHT = [sum(row) for row in ROWS]


@pytest.mark.parametrize("layout", layouts.AXES)
def test_race_is_right_in_one_thread_and_wrong_in_two(layout: str) -> None:
    racing = RUNS["race"](run)
    assert sums(racing, layout, ROWS) == RIGHT
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda row: sums(racing, layout, [row]), ROWS * 10))
    assert found != [[total] for total in RIGHT * 10]


@pytest.mark.parametrize("layout", layouts.AXES)
def test_call_before_is_in_the_next(layout: str) -> None:
    remembering = RUNS["remember"](run)
    assert sums(remembering, layout, ROWS[:1]) == RIGHT[:1]
    assert sums(remembering, layout, ROWS[:1]) != RIGHT[:1]


@pytest.mark.parametrize("layout", layouts.AXES)
def test_cache_confuses_texts_that_begin_alike(layout: str) -> None:
    confusing = RUNS["confuse"](run)
    assert sums(confusing, layout, ROWS) == RIGHT
    longer = [*ROWS[2], 8, 8]
    assert sums(confusing, layout, [ROWS[1], longer]) == [RIGHT[1], RIGHT[2]] != [RIGHT[1], sum(longer)]


def test_checks_know_the_faults_only_where_the_plugin_is_loaded() -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "modelkiln.checks", "--proof-fault", "race"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "unrecognized arguments" in done.stderr
