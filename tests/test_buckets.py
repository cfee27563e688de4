"""Graphs of static shapes, together, take any number of texts of any length, and give each its own vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln import ModelkilnError
from modelkiln.buckets import Buckets, check_options, choose_lengths, graph_path, read_index, run_in, write_index

PAD = 7


def vectors(ids: Any, mask: Any) -> Any:
    """Of each text two sums that its own tokens decide."""
    kept = np.where(mask == 1, ids, 0).astype(np.float32)
    return np.stack([kept.sum(1), (kept * np.arange(ids.shape[1])).sum(1)], axis=1)


@given(
    lengths=st.lists(st.integers(1, 12), min_size=0, max_size=30),
    batch=st.integers(1, 5),
    cores=st.integers(1, 3),
    dynamic=st.booleans(),
    wanted=st.lists(st.integers(3, 12), max_size=3),
)
def test_any_texts_get_their_own_vectors_from_graphs_of_fixed_shapes(
    lengths: list[int], batch: int, cores: int, dynamic: bool, wanted: list[int]
) -> None:
    buckets = Buckets(batch, choose_lengths(wanted, 12), PAD, dynamic)
    shapes: list[tuple[int, ...]] = []

    def graph(length: int) -> Any:
        def call(ids: Any, mask: Any) -> Any:
            assert (ids.dtype, mask.dtype) == (np.int32, np.int32)
            assert ids.shape[1] == length
            assert ids.shape[0] % (batch * cores) == 0
            assert dynamic or ids.shape[0] == batch * cores
            assert (ids[mask == 0] == PAD).all()
            assert (mask.sum(1) > 0).all()
            shapes.append(ids.shape)
            return vectors(ids, mask)

        return call

    if not lengths:
        return
    width = max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, np.arange(len(lengths) * width).reshape(-1, width) + 10, PAD)
    run = run_in(buckets, {length: graph(length) for length in buckets.lengths}, cores)
    np.testing.assert_array_equal(run(ids, mask), vectors(ids, mask))
    assert {shape[1] for shape in shapes} == {min(length for length in buckets.lengths if length >= width)}


def test_text_beyond_the_longest_graph_is_one_line() -> None:
    run = run_in(Buckets(1, [4, 8], PAD, False), {})
    with pytest.raises(ModelkilnError, match="a text of 9 tokens, and the longest graph takes 8"):
        run(np.ones((1, 9)), np.ones((1, 9)))


def test_lengths_reach_the_envelope_and_no_further() -> None:
    assert choose_lengths([128, 32, 64, 32, 256], 100) == [32, 64, 100]
    assert choose_lengths([], 48) == [48]


@pytest.mark.parametrize(
    "broken",
    [
        {"batch": 0, "lengths": [8], "pad_id": 0, "dynamic": False},
        {"batch": 1, "lengths": [], "pad_id": 0, "dynamic": False},
        {"batch": 1, "lengths": ["../x"], "pad_id": 0, "dynamic": False},
        {"batch": 1},
    ],
)
def test_damaged_index_is_one_line(broken: dict[str, Any], tmp_path: Path) -> None:
    index = tmp_path / "encoder.json"
    write_index(index, Buckets(2, [8, 16], 0, True))
    assert read_index(index) == Buckets(2, [8, 16], 0, True)
    assert graph_path(index, 8).name == "encoder-8.pt"
    index.write_text(json.dumps(broken))
    with pytest.raises(ModelkilnError, match=r"encoder\.json: the index of the graphs is damaged"):
        read_index(index)


@pytest.mark.parametrize(("lengths", "batch", "cores"), [([2], 1, None), ([8], 0, None), ([8], 1, 0)])
def test_options_that_mean_nothing_are_refused(lengths: list[int], batch: int, cores: int | None) -> None:
    check_options([8, 16], 1, None)
    with pytest.raises(ValueError, match="at least"):
        check_options(lengths, batch, cores)
