"""Texts -> vectors, over a compiled graph: look up, tokenize once, batch by length, run, put back in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelkiln import backends, layouts, machine
from modelkiln.artifact import TOKENIZER, EncoderSpec, Manifest, graph_digest
from modelkiln.backends import Run
from modelkiln.errors import ModelkilnError
from modelkiln.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]


class Encoder:
    """A compiled encoder: `encode(texts)` gives the vectors that the uncompiled model would give."""

    def __init__(
        self,
        run: Run,
        tokenizer: Tokenizer,
        spec: EncoderSpec,
        dimension: int,
        pad_id: int,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Takes ownership of `tokenizer`, whose truncation it sets. `vocabulary`: vectors that are known already."""
        self._run = run
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(spec.max_length)
        self._tokenizer.no_padding()
        self._pad_id = pad_id
        self.vocabulary = vocabulary
        self.spec = spec
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, shape (len(texts), dimension), in their order.

        A text longer than the envelope is cut off there. The same text gives the same vector to within the backend's
        rounding, whatever stands beside it.

        Raises:
            ModelkilnError: something in `texts` is not text.
        """
        (vectors,) = encode_together([(self, texts)])
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each whole text, special tokens included, beyond the envelope too."""
        encodings = self._tokenizer.encode_batch([_clean(index, text) for index, text in enumerate(texts)])
        special = len(self._tokenizer.encode("").ids)
        return [len(each.ids) + sum(len(rest.ids) - special for rest in each.overflowing) for each in encodings]


def encode_together(jobs: Sequence[tuple[Encoder, Sequence[str]]]) -> list[Vectors]:
    """Encoder.encode of several encoders; where they share a graph, in calls that they share."""
    vectors = []
    waiting: dict[int, list[tuple[Encoder, list[list[int]], Vectors, NDArray[np.intp]]]] = {}
    for encoder, texts in jobs:
        clean = [_clean(index, text) for index, text in enumerate(texts)]
        found = np.zeros((len(clean), encoder.dimension), dtype=np.float32)  # what a text without a token keeps
        missing = encoder.vocabulary.fill(clean, found) if encoder.vocabulary else list(range(len(clean)))
        encodings = encoder._tokenizer.encode_batch([clean[index] for index in missing])
        missing = [index for index, encoding in zip(missing, encodings, strict=True) if encoding.ids]
        rows = [encoding.ids for encoding in encodings if encoding.ids]
        waiting.setdefault(id(encoder._run), []).append((encoder, rows, found, np.array(missing, dtype=np.intp)))
        vectors.append(found)
    for group in waiting.values():
        first = group[0][0]
        owner = [(found, index) for _, _, found, missing in group for index in missing]
        rows = [row for _, each, _, _ in group for row in each]
        for indices, inputs in layouts.batches(first.spec.layout, rows, first.spec.max_batch, first._pad_id):
            for index, vector in zip(indices, first._run(*inputs), strict=False):
                found, place = owner[index]
                found[place] = vector
    return vectors


def load_encoders(folder: Path, manifest: Manifest, threads: int | None = None) -> dict[str, Encoder]:
    """The encoders of an artifact that has been verified; a graph that several share is loaded once.

    Args:
        folder: The artifact.
        manifest: What artifact.verify gave.
        threads: For one call of a graph; None: the backend's own choice.
    """
    from tokenizers import Tokenizer

    backend = backends.load(manifest.backend)
    options = backend.Options(**manifest.options)
    batch_dependent = manifest.precision in backend.BATCH_DEPENDENT  # nothing of it may be looked up or kept
    if manifest.machine:
        machine.check(manifest.machine, str(folder))
    graphs: dict[str, Run] = {}
    encoders = {}
    for name, spec in manifest.encoders.items():
        if spec.layout not in layouts.AXES:
            raise ModelkilnError(f"{folder}: unknown layout {spec.layout!r}; this modelkiln knows {list(layouts.AXES)}")
        if spec.graph not in graphs:
            graphs[spec.graph] = backend.load_graph(folder / spec.graph, options, manifest.precision, threads)
        tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        vocabulary = None
        if spec.vocabulary and not batch_dependent:
            digests = {path: file.sha256 for path, file in manifest.files.items()}
            graph = graph_digest(spec.graph, digests)
            vocabulary = read_vocabulary(folder / spec.vocabulary, graph, manifest.dimension)
        encoders[name] = Encoder(graphs[spec.graph], tokenizer, spec, manifest.dimension, manifest.pad_id, vocabulary)
    return encoders


def _clean(index: int, text: object) -> str:
    if not isinstance(text, str):
        raise ModelkilnError(f"texts[{index}]: expected text, found {type(text).__name__}")
    # A lone surrogate is no character, and the tokenizer would refuse it: U+FFFD stands for it.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
