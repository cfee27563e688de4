"""The uncompiled model as sentence-transformers runs it: what the checks hold an artifact against.

Where there is only a recording of what it said (modelkiln.recording), that takes its place.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modelkiln.artifact import Manifest
from modelkiln.checks.plugin import Judge
from modelkiln.encoder import Vectors
from modelkiln.files import relative_files, sha256, storable
from modelkiln.lengths import SHORT_WORD
from modelkiln.parity import compare_vectors
from modelkiln.progress import track
from modelkiln.recording import Facts, Said, answers_key, graph_key, row_key, text_key
from modelkiln.reference import load_uncompiled
from modelkiln.sources import REVISION
from modelkiln.tasks import Task
from modelkiln.worker import compile_again

BATCH = 256  # texts; phrases are short, and in batches of 32 take a third longer
LONG, FEW = 200, 16  # characters; and texts, since a batch of long ones is mostly filled up to the longest
AT_ONCE = 4096  # texts, between two looks at the progress
WORD = 20  # characters
OTHER_WORD = "i"  # one token, as SHORT_WORD is
ROWS = 256  # of token ids, in a call


class Original(Protocol):
    """What answers are held against: the uncompiled model, or a recording of what it said."""

    def embed(self, texts: Sequence[str]) -> Vectors: ...
    def embed_rows(self, rows: Sequence[Sequence[int]]) -> Vectors: ...
    def token_ids(self, texts: Sequence[str]) -> list[list[int]]: ...
    def facts(self, task: Task) -> Facts: ...
    def graph(self, manifest: Manifest) -> dict[str, str]: ...
    def answers(self, task: Task, texts: Sequence[str], params: dict[str, Any]) -> list[Any]: ...


class Uncompiled:
    """The model in `source`, on the CPU. A text is encoded once: the checks ask for most of them often."""

    def __init__(self, source: Path, remember: Path | None) -> None:
        """`remember`: a folder that keeps the vectors for a later run on the same source, whose files it goes by."""
        self._source = source
        self._vectors: dict[str, Any] = {}
        self._file = remember / f"{sha256(source / REVISION)}.npz" if remember else None
        self._kept = 0
        self._reference: Any = None
        self.said = Said()
        if self._file and self._file.exists():
            with np.load(self._file, allow_pickle=False) as kept:
                self._vectors = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))
            self._kept = len(self._vectors)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts, (n, dimension). A lone surrogate counts as U+FFFD, since no tokenizer takes it."""
        vectors = self._embed(texts)
        self.said.vectors.update(zip(map(text_key, texts), vectors, strict=True))
        return vectors

    def embed_rows(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """The vectors of rows of token ids, special ones included, (n, dimension)."""
        keys = [row_key(row) for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._vectors}
        by_length: dict[int, list[str]] = {}
        for key, row in new.items():
            by_length.setdefault(len(row), []).append(key)
        calls = [
            keys_of_a_length[start : start + ROWS]
            for keys_of_a_length in by_length.values()
            for start in range(0, len(keys_of_a_length), ROWS)
        ]
        for call in track(calls, f"the uncompiled model, {ROWS} rows of tokens at a time", len(calls)):
            ids = np.array([new[key] for key in call], dtype=np.int64)
            self._vectors.update(zip(call, self.run(ids, np.ones_like(ids)), strict=True))
        vectors = np.stack([self._vectors[key] for key in keys])
        self.said.vectors.update(zip(keys, vectors, strict=True))
        return vectors

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's tokens, special ones included, cut off where the model does it."""
        found: list[list[int]] = []
        for start in range(0, len(texts), BATCH):
            part = [storable(text) for text in texts[start : start + BATCH]]
            # Since 5.0 it is called preprocess.
            tokens = getattr(self._model, "preprocess", self._model.tokenize)(part)
            pairs = zip(tokens["input_ids"].tolist(), tokens["attention_mask"].tolist(), strict=True)
            found += [[token for token, real in zip(ids, mask, strict=True) if real] for ids, mask in pairs]
        self.said.ids.update(zip(map(text_key, texts), found, strict=True))
        return found

    def facts(self, task: Task) -> Facts:
        """What the model is, and what the library that users know has."""
        tokenizer = self._model.tokenizer
        said = json.loads(tokenizer.backend_tokenizer.to_str())
        vector = self.run(
            np.array([tokenizer("a")["input_ids"]]), np.ones((1, len(tokenizer("a")["input_ids"])), np.int64)
        )
        self.said.facts = Facts(
            dimension=int(vector.shape[1]),
            pad_id=int(tokenizer.pad_token_id or 0),
            parameters=sum(each.numel() for each in self._model.parameters()),
            tokenizer={**said, "truncation": None, "padding": None},  # which each call sets
            resources=task.reference_resources(),
        )
        return self.said.facts

    def graph(self, manifest: Manifest) -> dict[str, str]:
        """Compiles the model again, as the manifest says; the sha256 of each file of the graph, by name."""
        with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
            compile_again(self._source, manifest, Path(scratch))
            found = {name: sha256(Path(scratch) / name) for name in relative_files(Path(scratch))}
        self.said.graphs[graph_key(manifest)] = found
        return found

    def answers(self, task: Task, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """The answers of the library that users know, over this model; one for each text."""
        self._reference = self._reference or task.reference(self._embed)
        answers = task.predict(self._reference, texts, params)
        self.said.answers[answers_key(texts, params)] = answers
        return answers

    def run(self, ids: Any, mask: Any) -> Any:
        """In the place of a compiled graph of the layout `padded`; see backends.Run."""
        import torch

        with torch.no_grad():
            found = self._model({"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)})
        return found["sentence_embedding"].numpy()

    def again(self, texts: Sequence[str], threads: int | None = None) -> Vectors:
        """The vectors of the texts, encoded even where they are known; on one thread or on as many as by default."""
        vectors = np.zeros((len(texts), 0), dtype=np.float32)
        with _threads(threads):
            for batch, chosen in _by_size(texts):
                part = self._model.encode([texts[i] for i in chosen], batch_size=batch, show_progress_bar=False)
                vectors = vectors if vectors.size else np.zeros((len(texts), part.shape[1]), dtype=np.float32)
                vectors[chosen] = part
        return vectors

    def _embed(self, texts: Sequence[str]) -> Vectors:
        texts = [storable(text) for text in texts]
        keys = [text_key(text) for text in texts]
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}.items())
        starts = range(0, len(new), AT_ONCE)
        for start in track(starts, f"the uncompiled model, {AT_ONCE} texts at a time", len(starts)):
            part = new[start : start + AT_ONCE]
            vectors = self.again([text for _, text in part])
            self._vectors.update(zip([key for key, _ in part], vectors, strict=True))
            self._keep_by_ids([text for _, text in part], vectors)
        return np.stack([self._vectors[key] for key in keys])

    def _keep_by_ids(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Words are asked for by their ids as well; but not of a model that puts a prompt before them."""
        words = [place for place, text in enumerate(texts) if len(text) <= WORD]
        if words and not getattr(self._model, "default_prompt_name", None):
            ids = self._model.tokenizer([texts[place] for place in words])["input_ids"]
            self._vectors.update((row_key(row), vectors[place]) for row, place in zip(ids, words, strict=True))

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


def hold_vectors(judge: Judge, expected: Vectors, found: Vectors) -> None:
    """Holds vectors to their bounds; `expected` are the uncompiled model's."""
    parity = compare_vectors(expected, found)
    assert not parity.failures, parity.failures
    judge.hold_all(parity.figures)


def template(uncompiled: Original) -> tuple[list[int], int]:
    """The ids of a text of one token, special ones included, and where in it that token stands."""
    one, other = uncompiled.token_ids([SHORT_WORD, OTHER_WORD])
    assert len(one) == len(other), f"{SHORT_WORD!r} and {OTHER_WORD!r} have to be one token each"
    (place,) = [at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    return one, place


def _by_size(texts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
    """Batch sizes, and which of the texts are encoded in batches of that size."""
    long = [index for index, text in enumerate(texts) if len(text) > LONG]
    short = [index for index, text in enumerate(texts) if len(text) <= LONG]
    yield from ((batch, chosen) for batch, chosen in ((FEW, long), (BATCH, short)) if chosen)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
