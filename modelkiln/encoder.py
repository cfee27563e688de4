"""Texts -> vectors, over a compiled graph: look up, tokenize once, batch by length, run, put back in order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelkiln import backends, layouts, machine
from modelkiln.artifact import TOKENIZER, EncoderSpec, Manifest, encoder_digest, graph_digest
from modelkiln.backends import Run
from modelkiln.cache import VectorCache
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import storable
from modelkiln.phrase_store import PhraseStore
from modelkiln.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]
LONGEST_KEPT = 256  # characters; a longer text is a document, not likely to come again, and its own key would be large


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
        """Takes ownership of `tokenizer`, whose truncation it sets. `vocabulary`: vectors that are known already.

        Vectors are then looked up in `vocabulary`, `cache` and `store`, in this order, and kept in the last two.
        """
        self._run = run
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(spec.max_length)
        self._tokenizer.no_padding()
        self._pad_id = pad_id
        self.vocabulary = vocabulary
        self.cache: VectorCache | None = None
        self.store: PhraseStore | None = None
        self.spec = spec
        self.dimension = dimension
        self._process = os.getpid()

    def require_own_process(self) -> None:
        """Raises a ModelkilnError in a forked child: threads, and locks that they held, are not there to go on."""
        if os.getpid() != self._process:
            raise ModelkilnError(
                f"loaded by process {self._process}, and used by process {os.getpid()}, which was forked from it: load "
                "in each process, after the fork (modelkiln.load), or start processes by `spawn`"
            )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, shape (len(texts), dimension), in their order.

        A text longer than the envelope is cut off there. The same text gives the same vector to within the backend's
        rounding, whatever stands beside it.

        Raises:
            ModelkilnError: something in `texts` is not text.
        """
        (vectors,) = encode_together([(self, texts)])
        return vectors

    def encode_rows(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """The vectors of rows of token ids, special ones included, shape (len(rows), dimension); nothing is looked up.

        In calls of the graph that are made as those for texts are.
        """
        self.require_own_process()
        vectors = np.zeros((len(rows), self.dimension), dtype=np.float32)
        for indices, inputs in layouts.batches(self.spec.layout, rows, self.spec.max_batch, self._pad_id):
            vectors[indices] = self._run(*inputs)[: len(indices)]
        return vectors

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's tokens, special ones included, cut off at the envelope."""
        cleaned = [_clean(index, text) for index, text in enumerate(texts)]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cleaned)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each whole text, special tokens included, beyond the envelope too."""
        encodings = self._tokenizer.encode_batch([_clean(index, text) for index, text in enumerate(texts)])
        special = len(self._tokenizer.encode("").ids)
        return [len(each.ids) + sum(len(rest.ids) - special for rest in each.overflowing) for each in encodings]


def encode_together(jobs: Sequence[tuple[Encoder, Sequence[str]]]) -> list[Vectors]:
    """Encoder.encode of several encoders; where they share a graph, in calls that they share."""
    asked = [_Job(encoder, texts) for encoder, texts in jobs]
    sharing: dict[int, list[_Job]] = {}
    for job in asked:
        sharing.setdefault(id(job.encoder._run), []).append(job)
    for group in sharing.values():
        first = group[0].encoder
        owner = [(job, index) for job in group for index in job.missing]
        rows = [row for job in group for row in job.rows]
        for indices, inputs in layouts.batches(first.spec.layout, rows, first.spec.max_batch, first._pad_id):
            for index, vector in zip(indices, first._run(*inputs), strict=False):
                job, place = owner[index]
                job.vectors[place] = vector
    for job in asked:
        job.keep()
    return [job.vectors for job in asked]


class _Job:
    """Texts for an encoder: what is known of their vectors, and the token ids of the others."""

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        encoder.require_own_process()
        self.encoder = encoder
        self.texts = [_clean(index, text) for index, text in enumerate(texts)]
        self.vectors = np.zeros((len(self.texts), encoder.dimension), dtype=np.float32)  # a text without a token's
        missing = list(range(len(self.texts)))
        if encoder.vocabulary is not None:
            missing = encoder.vocabulary.fill(self.texts, self.vectors, missing)
        self._new_to_cache = missing
        if encoder.cache is not None:
            self._new_to_cache = encoder.cache.fill(self.texts, self.vectors, missing)
        self._new = self._new_to_cache
        if encoder.store is not None:
            self._new = encoder.store.fill(self.texts, self.vectors, self._new)
        # "Fast": it leaves out where each token stood in the text.
        encodings = encoder._tokenizer.encode_batch_fast([self.texts[index] for index in self._new])
        self.missing = [index for index, encoding in zip(self._new, encodings, strict=True) if encoding.ids]
        self.rows = [encoding.ids for encoding in encodings if encoding.ids]

    def keep(self) -> None:
        """Remembers what the cache and the store did not know."""
        for keeper, unknown in ((self.encoder.cache, self._new_to_cache), (self.encoder.store, self._new)):
            if keeper is not None:
                new = [index for index in unknown if len(self.texts[index]) <= LONGEST_KEPT]
                keeper.keep([self.texts[index] for index in new], self.vectors[new])


def load_encoders(
    folder: Path, manifest: Manifest, threads: int | None = None, run: Run | None = None
) -> dict[str, Encoder]:
    """The encoders of an artifact that has been verified; a graph that several share is loaded once.

    Args:
        folder: The artifact.
        manifest: What artifact.verify gave.
        threads: For one call of a graph; None: the backend's own choice.
        run: In the place of every graph, which is not loaded then.

    Raises:
        ModelkilnError: a graph reads what the artifact does not hold, or can't run on this machine.
    """
    from tokenizers import Tokenizer

    backend = backends.load(manifest.backend)
    backends.require_whole(folder, manifest)
    options = backends.options_of(manifest)
    batch_dependent = manifest.precision in backend.BATCH_DEPENDENT  # nothing of it may be looked up or kept
    if manifest.machine:
        machine.check(manifest.machine, str(folder))
    graphs: dict[str, Run] = {}
    encoders = {}
    for name, spec in manifest.encoders.items():
        if spec.layout not in layouts.AXES:
            raise ModelkilnError(f"{folder}: unknown layout {spec.layout!r}; this modelkiln knows {list(layouts.AXES)}")
        if spec.graph not in graphs:
            graphs[spec.graph] = run or backend.load_graph(folder / spec.graph, options, manifest.precision, threads)
        try:
            tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # it raises no other
            raise ModelkilnError(f"{folder / TOKENIZER}: the tokenizer is damaged: {one_line(error)}") from error
        vocabulary = None
        if spec.vocabulary and not batch_dependent:
            graph = graph_digest(spec.graph, manifest.sha256s())
            vocabulary = read_vocabulary(folder / spec.vocabulary, graph, manifest.dimension)
        encoders[name] = Encoder(graphs[spec.graph], tokenizer, spec, manifest.dimension, manifest.pad_id, vocabulary)
        if backend.DEVICE is None and not run:
            _require_graph(folder, encoders[name])
    return encoders


def _require_graph(folder: Path, encoder: Encoder) -> None:
    """Runs the graph once on a row of one token: it may take other inputs, or give other vectors, than is said."""
    said = f"{folder / encoder.spec.graph}: the graph is not what the manifest says of it"
    try:
        inputs = next(layouts.batches(encoder.spec.layout, [[0]], 1, 0))[1]
        vectors = encoder._run(*inputs)
    except Exception as error:  # each runtime has its own
        raise ModelkilnError(f"{said}, layout {encoder.spec.layout!r}: {one_line(error)}") from error
    if vectors.ndim != 2 or vectors.shape[1] != encoder.dimension:
        raise ModelkilnError(
            f"{said}: it gives vectors of {vectors.shape[1:]}, expected {encoder.dimension} dimensions"
        )


def keep_vectors(
    encoders: dict[str, Encoder], manifest: Manifest, megabytes: float, phrase_cache: str | Path | None
) -> None:
    """Gives these encoders of an artifact a running cache of so many megabytes, and a phrase cache in a file.

    Raises:
        ModelkilnError: a phrase cache is asked for that there can't be.
    """
    if manifest.precision in backends.load(manifest.backend).BATCH_DEPENDENT:
        if phrase_cache is not None:
            raise ModelkilnError(
                f"phrase_cache: {manifest.backend} {manifest.precision} gives vectors that depend on what else is in a "
                "call, so none can be kept; leave it out"
            )
        return
    for name, encoder in encoders.items():
        if megabytes:
            encoder.cache = VectorCache(manifest.dimension, megabytes)
        if phrase_cache is not None:
            encoder.store = PhraseStore(Path(phrase_cache), encoder_digest(manifest, name), manifest.dimension)


def _clean(index: int, text: object) -> str:
    if not isinstance(text, str):
        raise ModelkilnError(f"texts[{index}]: expected text, found {type(text).__name__}")
    return storable(text)
