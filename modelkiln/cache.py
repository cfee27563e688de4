"""The running cache: vectors of texts that this process has met, bounded in megabytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

OVERHEAD = 200  # bytes that a text and its place take beside the vector, about


class VectorCache:
    """Texts and their vectors, the least recently used of which give way; safe to use from several threads."""

    def __init__(self, dimension: int, megabytes: float) -> None:
        """Room for as many vectors as fit in so many megabytes, and for one at least."""
        self.capacity = max(1, int(megabytes * 1e6 / (4 * dimension + OVERHEAD)))
        self._vectors = np.empty((self.capacity, dimension), dtype=np.float32)  # the system gives pages as they fill
        self._row: OrderedDict[str, int] = OrderedDict()  # the least recently used first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._row)

    def fill(self, texts: Sequence[str], vectors: Any, wanted: Sequence[int]) -> list[int]:
        """Puts the vectors of the known texts into their rows; see Vocabulary.fill."""
        known: list[int] = []
        rows: list[int] = []
        missing: list[int] = []
        with self._lock:
            for index in wanted:
                row = self._row.get(texts[index])
                if row is None:
                    missing.append(index)
                else:
                    self._row.move_to_end(texts[index])
                    known.append(index)
                    rows.append(row)
            vectors[known] = self._vectors[rows]
        return missing

    def keep(self, texts: Sequence[str], vectors: Any) -> None:
        """Remembers the texts and their vectors, (len(texts), dimension)."""
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                row = self._row.pop(text, None)
                if row is None:
                    row = len(self._row) if len(self._row) < self.capacity else self._row.popitem(last=False)[1]
                self._vectors[row] = vector
                self._row[text] = row
