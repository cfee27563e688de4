"""Texts -> vectors, over a compiled graph: tokenize once, batch by length, run, put back in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelkiln import backends
from modelkiln.artifact import TOKENIZER, EncoderSpec, Manifest
from modelkiln.backends import Run
from modelkiln.errors import ModelkilnError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

# A batch is padded to its longest text; a text that would be padded by more than this share starts a batch of its own.
MAX_PADDING = 0.12


class Encoder:
    """A compiled encoder: `encode(texts)` gives the vectors that the uncompiled model would give."""

    def __init__(self, run: Run, tokenizer: Tokenizer, spec: EncoderSpec, dimension: int, pad_id: int) -> None:
        """Takes ownership of `tokenizer`, whose truncation it sets."""
        self._run = run
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(spec.max_length)
        self._tokenizer.no_padding()
        self._pad_id = pad_id
        self.spec = spec
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, shape (len(texts), dimension), in their order.

        A text longer than the envelope is cut off there. The same text gives the same vector to within the backend's
        rounding, whatever stands beside it.

        Raises:
            ModelkilnError: something in `texts` is not text.
        """
        rows = [encoding.ids for encoding in self._tokenize(texts)]
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        for batch in plan_batches([len(row) for row in rows], self.spec.max_batch):
            vectors[batch] = self._run(*self._pad([rows[i] for i in batch]))
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each whole text, special tokens included, beyond the envelope too."""
        special = len(self._tokenizer.encode("").ids)
        return [
            len(each.ids) + sum(len(rest.ids) - special for rest in each.overflowing) for each in self._tokenize(texts)
        ]

    def _tokenize(self, texts: Sequence[str]) -> list[Any]:
        """An encoding for each text, cut off at the envelope."""
        return list(self._tokenizer.encode_batch([self._clean(i, text) for i, text in enumerate(texts)]))

    def _clean(self, index: int, text: object) -> str:
        if not isinstance(text, str):
            raise ModelkilnError(f"texts[{index}]: expected text, found {type(text).__name__}")
        # A lone surrogate is no character, and the tokenizer would refuse it: U+FFFD stands for it.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _pad(self, rows: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        longest = max(1, max(len(row) for row in rows))
        ids = np.full((len(rows), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return ids, mask


def load_encoders(folder: Path, manifest: Manifest) -> dict[str, Encoder]:
    """The encoders of an artifact that has been verified; a graph that several share is loaded once."""
    from tokenizers import Tokenizer

    backend = backends.load(manifest.backend)
    options = backend.Options(**manifest.options)
    graphs: dict[str, Run] = {}
    encoders = {}
    for name, spec in manifest.encoders.items():
        if spec.graph not in graphs:
            graphs[spec.graph] = backend.load_graph(folder / spec.graph, options)
        tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        encoders[name] = Encoder(graphs[spec.graph], tokenizer, spec, manifest.dimension, manifest.pad_id)
    return encoders


def plan_batches(lengths: Sequence[int], max_batch: int) -> Iterator[NDArray[np.intp]]:
    """Splits texts of these lengths into batches of similar length, the longest first.

    Args:
        lengths: Tokens in each text.
        max_batch: Texts in a batch at the most.

    Yields:
        Indices into `lengths`; together each index once.
    """
    # The longest first, so that a call that is too large for the memory fails at once. Stable: ties keep their order.
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        full = end - start == max_batch
        if end == len(order) or full or lengths[order[end]] < (1 - MAX_PADDING) * lengths[order[start]]:
            yield order[start:end]
            start = end
