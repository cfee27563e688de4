"""Static shapes: texts of any number and length through graphs that each take one shape, a bucket.

A backend whose graphs have static shapes writes one graph for each length, and beside them an index, in JSON: what a
graph's file is called follows from its length, so that an index can't name a file elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json, write_text

# A graph of one bucket: (ids, mask), int32 of shape (batch, length), to float32 vectors (batch, dimension).
Graph = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Buckets:
    """The shapes of an encoder's graphs."""

    batch: int  # texts that a graph takes in one call
    lengths: list[int]  # tokens, ascending
    pad_id: int  # fills a text up
    dynamic: bool  # a graph takes any multiple of `batch` in one call


def choose_lengths(wanted: Sequence[int], longest: int) -> list[int]:
    """The lengths to compile, ascending: those of `wanted` that are shorter than the envelope, and its own."""
    return [*sorted({length for length in wanted if length < longest}), longest]


def check_options(lengths: Sequence[int], batch: int, cores: int | None) -> None:
    """Raises a ValueError that says what is wrong with a backend's options of these names."""
    if not all(isinstance(length, int) and length >= 3 for length in lengths):
        raise ValueError(f"lengths are numbers of tokens, at least 3 each, found {list(lengths)}")
    if batch < 1 or (cores is not None and cores < 1):
        raise ValueError(f"batch and cores must be at least 1, found {batch} and {cores}")


def write_index(path: Path, buckets: Buckets) -> None:
    """Writes the index of the graphs that lie beside it."""
    write_text(path, json.dumps(asdict(buckets), sort_keys=True) + "\n")


def read_index(path: Path) -> Buckets:
    """The buckets that an index lists.

    Raises:
        ModelkilnError: it is damaged.
    """
    data = read_json(path, "the index of the graphs")
    try:
        buckets = Buckets(**data)
        numbers = [buckets.batch, *buckets.lengths]
        if not buckets.lengths or not all(isinstance(each, int) and each > 0 for each in numbers):
            raise ValueError(f"batch {buckets.batch!r}, lengths {buckets.lengths!r}")
    except (TypeError, ValueError) as error:
        raise ModelkilnError(f"{path}: the index of the graphs is damaged: {error}") from error
    return buckets


def graph_path(index: Path, length: int) -> Path:
    """Where the graph of a length lies."""
    return index.with_name(f"{index.stem}-{length}.pt")


def run_in(buckets: Buckets, graphs: Mapping[int, Graph], batches: int = 1) -> Callable[..., Any]:
    """The graphs of all lengths as one that takes any number of texts, up to the longest length; see backends.Run.

    Each call goes to the shortest bucket that holds it, filled up with the pad token. A batch is filled up with its
    last text: a row of nothing but padding is no text, and what a device makes of one is unknown.

    Args:
        buckets: The shapes.
        graphs: By length.
        batches: That one call may hold, where a graph runs on several cores at once.
    """
    size = buckets.batch * batches

    def run(ids: Any, mask: Any) -> Any:
        count, length = ids.shape
        bucket = next((each for each in buckets.lengths if each >= length), None)
        if bucket is None:
            raise ModelkilnError(f"a text of {length} tokens, and the longest graph takes {buckets.lengths[-1]}")
        rows = -(-count // size) * size
        filled_ids = np.full((rows, bucket), buckets.pad_id, dtype=np.int32)
        filled_mask = np.zeros((rows, bucket), dtype=np.int32)
        filled_ids[:count, :length], filled_mask[:count, :length] = ids, mask
        filled_ids[count:], filled_mask[count:] = filled_ids[count - 1], filled_mask[count - 1]
        step = rows if buckets.dynamic else size
        parts = [
            np.asarray(graphs[bucket](filled_ids[start : start + step], filled_mask[start : start + step]))
            for start in range(0, rows, step)
        ]
        return np.concatenate(parts)[:count]

    return run
