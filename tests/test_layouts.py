"""Rows of token ids are split into calls that hold each of them once, and packed so that each can be read back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.layouts import AXES, MAX_PADDING, TOKENS_AT_ONCE, batches, pack, plan_packed, plan_padded

LENGTHS = st.lists(st.integers(1, 300))


@given(LENGTHS, st.integers(1, 40))
def test_padded_batches_cover_each_text_once_within_the_limits(lengths: list[int], max_batch: int) -> None:
    planned = [batch.tolist() for batch in plan_padded(lengths, max_batch)]
    assert sorted(index for batch in planned for index in batch) == list(range(len(lengths)))
    for batch in planned:
        assert 1 <= len(batch) <= max_batch
        sizes = [lengths[index] for index in batch]
        assert min(sizes) >= (1 - MAX_PADDING) * max(sizes)


@given(LENGTHS, st.integers(1, 40))
def test_packed_batches_cover_each_text_once_within_the_limits(lengths: list[int], max_batch: int) -> None:
    planned = list(plan_packed(lengths, max_batch))
    assert sorted(index for longs, shorts in planned for index in longs + shorts) == list(range(len(lengths)))
    for longs, shorts in planned:
        assert longs
        assert len({lengths[index] for index in longs}) == 1
        assert len(longs + shorts) <= max_batch
        assert len(longs + shorts) == 1 or sum(lengths[index] for index in longs + shorts) <= TOKENS_AT_ONCE


@given(st.integers(1, 9), st.integers(1, 3), st.lists(st.integers(1, 9)))
def test_packed_rows_can_be_read_back(length: int, longs: int, shorts: list[int]) -> None:
    tokens = iter(range(1, 1000))
    long_rows = [[next(tokens) for _ in range(length)] for _ in range(longs)]
    short_rows = [[next(tokens) for _ in range(size)] for size in shorts]
    inputs = dict(zip(AXES["packed"], pack(long_rows, short_rows), strict=True))
    assert inputs["long_ids"].tolist() == long_rows
    gather, ids = inputs["gather"], inputs["short_ids"]
    assert [ids[row[row >= 0]].tolist() for row in gather] == (short_rows or [long_rows[0][:1]])
    # What is scattered is what was gathered, and a token's position is its column.
    assert gather.ravel()[inputs["scatter"]].tolist() == list(range(len(ids)))
    assert (inputs["scatter"] % gather.shape[1]).tolist() == inputs["positions"].tolist()
    assert all(array.dtype == np.int64 and array.ndim == len(AXES["packed"][name]) for name, array in inputs.items())


def test_document_and_its_phrases_share_a_call() -> None:
    rows = [[7] * 200, *([[5] * 4] * 40)]
    ((indices, _),) = batches("packed", rows, 512, 0)
    assert sorted(indices.tolist()) == list(range(41))
