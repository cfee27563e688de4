"""Rows of token ids -> the arrays that a graph takes. Two layouts; docs/decisions/0007-packed.md has the measurements.

`padded`: every text filled up to the longest of its batch, with a mask. What every graph of every backend can take.

`packed`: nothing is filled up. The matrix products, nine tenths of the work, see one long list of tokens; only the
attention is done text by text: for the `long` texts, all of one length, as they are, and for the `short` ones, of mixed
lengths, in a padded rectangle that is gathered and scattered again. So a document and its phrases share one call, and
the weights are read from memory once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# The names of a graph's inputs, and of the axes along which they may have any size.
AXES: dict[str, dict[str, tuple[str, ...]]] = {
    "padded": {"input_ids": ("batch", "length"), "attention_mask": ("batch", "length")},
    "packed": {
        "long_ids": ("longs", "long_length"),  # token ids
        "short_ids": ("tokens",),  # token ids, text after text
        "positions": ("tokens",),  # of each short token in its own text
        "gather": ("shorts", "short_length"),  # for each place of the rectangle its short token, -1: none
        "scatter": ("tokens",),  # for each short token its place in the rectangle
    },
}
# A padded batch's texts differ in length by at most this share; a shorter text starts a batch of its own.
MAX_PADDING = 0.12
# Tokens in a packed call: enough for the matrix products to run at full speed, and few enough for the cache.
TOKENS_AT_ONCE = 512

Batch = tuple[Any, tuple[Any, ...]]  # which rows, and the graph's inputs: one vector for each of the rows comes first


def batches(layout: str, rows: Sequence[Sequence[int]], max_batch: int, pad_id: int) -> Iterator[Batch]:
    """Splits rows of token ids into calls of a graph.

    Args:
        layout: "padded" or "packed".
        rows: The token ids of each text.
        max_batch: Texts in a call at the most.
        pad_id: The token id that fills a padded row up.

    Yields:
        Indices into `rows`, together each index once, and int64 arrays as AXES names them. A packed call gives one
        vector more than it has rows where it has no short text, since the rectangle may not be empty.
    """
    lengths = [len(row) for row in rows]
    if layout == "padded":
        for indices in plan_padded(lengths, max_batch):
            yield indices, pad([rows[i] for i in indices], pad_id)
    else:
        for longs, shorts in plan_packed(lengths, max_batch):
            yield np.array(longs + shorts), pack([rows[i] for i in longs], [rows[i] for i in shorts])


def plan_padded(lengths: Sequence[int], max_batch: int) -> Iterator[Any]:
    """Indices of texts of similar length, the longest first; at most max_batch of them at a time."""
    # The longest first, so that a call that is too large for the memory fails at once. Stable: ties keep their order.
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        full = end - start == max_batch
        if end == len(order) or full or lengths[order[end]] < (1 - MAX_PADDING) * lengths[order[start]]:
            yield order[start:end]
            start = end


def plan_packed(lengths: Sequence[int], max_batch: int) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of the longest texts, all of one length, and of the shortest ones, which fill the call up."""
    order = [int(i) for i in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")]
    first, last = 0, len(order) - 1
    while first <= last:
        longest = lengths[order[first]]
        longs: list[int] = []
        while (
            first <= last
            and lengths[order[first]] == longest
            and _fits(longs, len(longs) * longest + longest, max_batch)
        ):
            longs.append(order[first])
            first += 1
        shorts: list[int] = []
        tokens = len(longs) * longest
        while first <= last and _fits(longs + shorts, tokens + lengths[order[last]], max_batch):
            tokens += lengths[order[last]]
            shorts.append(order[last])
            last -= 1
        yield longs, shorts


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """input_ids and attention_mask of a padded call, both (len(rows), longest)."""
    longest = max(1, max(len(row) for row in rows))
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def pack(longs: Sequence[Sequence[int]], shorts: Sequence[Sequence[int]]) -> tuple[Any, ...]:
    """The five inputs of a packed call; `longs` are rows of one length, and at least one."""
    shorts = shorts or [longs[0][:1]]  # a rectangle of one token, whose vector nobody asks for
    lengths = np.array([len(row) for row in shorts], dtype=np.int64)
    places = np.arange(max(1, int(lengths.max())), dtype=np.int64)
    taken = places < lengths[:, None]
    gather = np.where(taken, (np.cumsum(lengths) - lengths)[:, None] + places, -1)
    positions = np.broadcast_to(places, taken.shape)[taken]
    short_ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in shorts])
    return np.array(longs, dtype=np.int64), short_ids, positions, gather, np.flatnonzero(taken)


def _fits(texts: list[int], tokens: int, max_batch: int) -> bool:
    """Whether one more text may join; the first one always may."""
    return not texts or (len(texts) < max_batch and tokens <= TOKENS_AT_ONCE)
