"""The uncompiled model as sentence-transformers runs it: what the checks hold an artifact against."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln.bounds import Bounds
from modelkiln.checks.plugin import Judge
from modelkiln.encoder import Vectors
from modelkiln.files import sha256, storable
from modelkiln.parity import compare_vectors
from modelkiln.progress import track
from modelkiln.reference import load_uncompiled
from modelkiln.sources import REVISION

BATCH = 128  # texts; phrases are short, and in batches of 32 take a third longer
AT_ONCE = 4096  # texts, between two looks at the progress


class Uncompiled:
    """Vectors of the model in `source`, on the CPU. A text is encoded once: the checks ask for most of them often."""

    def __init__(self, source: Path, remember: Path | None) -> None:
        """`remember`: a folder that keeps the vectors for a later run on the same source, whose files it goes by."""
        self._source = source
        self._vectors: dict[str, Any] = {}
        self._file = remember / f"{sha256(source / REVISION)}.npz" if remember else None
        self._kept = 0
        if self._file and self._file.exists():
            with np.load(self._file, allow_pickle=False) as kept:
                self._vectors = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))
            self._kept = len(self._vectors)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, (n, dimension). A lone surrogate counts as U+FFFD, since no tokenizer takes it."""
        texts = [storable(text) for text in texts]
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}.items())
        starts = range(0, len(new), AT_ONCE)
        for start in track(starts, f"the uncompiled model, {AT_ONCE} texts at a time", len(starts)):
            part = new[start : start + AT_ONCE]
            self._vectors.update(zip([key for key, _ in part], self.again([text for _, text in part]), strict=True))
        return np.stack([self._vectors[key] for key in keys])

    def again(self, texts: Sequence[str], threads: int | None = None) -> Vectors:
        """The vectors of the texts, encoded even where they are known; on one thread or on as many as by default."""
        with _threads(threads):
            vectors: Vectors = self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)
        return vectors

    def save(self) -> None:
        """Keeps the vectors for a later run, where that is wanted."""
        if self._file and len(self._vectors) > self._kept:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".partial.npz")
            np.savez(partial, texts=np.array(list(self._vectors)), vectors=np.stack(list(self._vectors.values())))
            partial.replace(self._file)

    @cached_property
    def _model(self) -> Any:
        return load_uncompiled(self._source, "there is nothing to judge by; fetch it again with `dvc repro download`")


def hold_vectors(judge: Judge, expected: Vectors, found: Vectors, bounds: Bounds) -> None:
    """Holds vectors to their bounds; `expected` are the uncompiled model's."""
    parity = compare_vectors(expected, found)
    assert not parity.failures, parity.failures
    judge.at_least("min_cosine", parity.figures["min_cosine"], bounds.min_cosine)
    judge.at_most("max_abs_difference", parity.figures["max_abs_difference"], bounds.atol)
    judge.at_most("max_rel_difference", parity.figures["max_rel_difference"], bounds.rtol)
    judge.at_most("max_norm_difference", parity.figures["max_norm_difference"], bounds.rtol)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
