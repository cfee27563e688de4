"""What the uncompiled model says of the checks' texts, written down, so that a machine without it can judge by that.

    reference.json                what judged, the checks of the source itself, and the sha256 of each file below
    answers.json                  its answers, by digests of the texts
    vectors.npz, ids.npz          its vectors, and the ids of its tokens, by digests of the texts or of rows of ids
    facts.json, asked.json        what the model is, with its tokenizer; what compile was asked for (asked.py)
    graphs.json                   what compiling it again gave: the sha256 of each file of the graph
    golden.jsonl, corpus.jsonl    the texts that a judgement is about; the corpus where it is another file
    revision.json, golden/…       of the source: which one it is, and the golden samples that it was registered with

A validation leaves one in reports/validation/evidence/reference; `modelkiln verify --reference` judges by it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelkiln import schema
from modelkiln.artifact import Manifest
from modelkiln.asked import ASKED
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, read_json, relative_files, sha256, storable, to_json, write_text
from modelkiln.verdict import Check, to_check

FORMAT = 3
FOLDER = "reference"  # in the evidence
INDEX, ANSWERS, VECTORS, IDS, FACTS = "reference.json", "answers.json", "vectors.npz", "ids.npz", "facts.json"
GRAPHS = "graphs.json"
GOLDEN, CORPUS = "golden.jsonl", "corpus.jsonl"
REVISION, REGISTERED = "revision.json", "golden"  # under the names that they have in the source
STALE = "validate again where the uncompiled model is, and copy its evidence/reference here"

Vectors = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """What the uncompiled model is, and what the library that users know has for the task."""

    dimension: int  # of a vector
    pad_id: int
    parameters: int  # numbers in its weights
    tokenizer: dict[str, Any]  # as its tokenizer.json, without truncation and padding
    resources: dict[str, Any]  # see Task.reference_resources


@dataclass
class Said:
    """What the uncompiled model has been asked, and what it said."""

    vectors: dict[str, Any] = field(default_factory=dict)  # by text_key or row_key: (dimension,), float32
    ids: dict[str, list[int]] = field(default_factory=dict)  # by text_key
    answers: dict[str, Any] = field(default_factory=dict)  # by answers_key: an answer for each text, as JSON has it
    facts: Facts | None = None
    graphs: dict[str, dict[str, str]] = field(default_factory=dict)  # by graph_key: the sha256 of each file


@dataclass(frozen=True)
class Recording:
    """A recording that was read and is whole."""

    folder: Path
    bounds: dict[str, float]
    checks: dict[str, Check]  # of the source itself, which no other machine can repeat
    said: Said

    @property
    def golden(self) -> Path:
        """The file of golden samples."""
        return self.folder / GOLDEN

    @property
    def corpus(self) -> Path:
        """The file of documents to judge by, which may be the golden samples."""
        corpus = self.folder / CORPUS
        return corpus if corpus.exists() else self.golden

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The uncompiled model's vectors of the texts, (n, dimension)."""
        return np.stack(self._known(self.said.vectors, map(text_key, texts), "vector"))

    def embed_rows(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """The uncompiled model's vectors of rows of token ids, (n, dimension)."""
        return np.stack(self._known(self.said.vectors, map(row_key, rows), "vector"))

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids that the uncompiled model's tokenizer gives the texts."""
        return self._known(self.said.ids, map(text_key, texts), "tokens")

    def facts(self, task: Any) -> Facts:  # noqa: ARG002 (the uncompiled model's)
        """What the uncompiled model is."""
        if self.said.facts is None:
            raise ModelkilnError(f"{self.folder}: does not say what the uncompiled model is; {STALE}")
        return self.said.facts

    def graph(self, manifest: Manifest) -> dict[str, str]:
        """The sha256 of each file of the graph that compiling the model again gave, by name."""
        try:
            return self.said.graphs[graph_key(manifest)]
        except KeyError:
            raise ModelkilnError(
                f"{self.folder}: was recorded for a graph of another backend, precision, length or options; {STALE}"
            ) from None

    def _known(self, said: Mapping[str, T], keys: Iterable[str], what: str) -> list[T]:
        try:
            return [said[key] for key in keys]
        except KeyError:
            raise ModelkilnError(
                f"{self.folder}: has no {what} of a text that this check asks for: it was recorded for another "
                f"artifact, or by another modelkiln; {STALE}"
            ) from None

    def answers(self, task: Any, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """The uncompiled model's answers in a mode of a Task, one for each text."""
        try:
            found = self.said.answers[answers_key(texts, params)]
        except KeyError:
            raise ModelkilnError(f"{self.folder}: has no answers to these texts in this mode; {STALE}") from None
        answers: list[Any] = task.read(found, len(texts))
        return answers


def text_key(text: str) -> str:
    """What a text's vector is found by."""
    return hashlib.sha256(storable(text).encode()).hexdigest()


def row_key(row: Sequence[int]) -> str:
    """What the vector of a row of token ids is found by."""
    return hashlib.sha256(np.asarray(row, dtype=np.int64).tobytes()).hexdigest()


def answers_key(texts: Sequence[str], params: Mapping[str, Any]) -> str:
    """What the answers to some texts in one mode are found by."""
    asked = json.dumps([[text_key(text) for text in texts], params], sort_keys=True)  # a tuple is a list there
    return hashlib.sha256(asked.encode()).hexdigest()


def graph_key(manifest: Manifest) -> str:
    """What a graph that was compiled again is found by: all that compiling depends on, beside the model."""
    longest = max(spec.max_length for spec in manifest.encoders.values())
    return json.dumps([manifest.backend, manifest.precision, manifest.options, longest], sort_keys=True)


def write(
    folder: Path,
    said: Said,
    source: Path,
    golden: Path,
    corpus: Path,
    asked: Path | None,
    bounds: Mapping[str, float],
    checks: Mapping[str, Check],
) -> None:
    """Writes a recording into `folder`, which is made anew.

    Args:
        folder: Replaced.
        said: By the uncompiled model.
        source: Its folder.
        golden: The file of golden samples.
        corpus: The file of documents, which may be the same.
        asked: What compile was asked for, where that is known.
        bounds: What the judgement holds figures to.
        checks: Those of the source itself, by name.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / REGISTERED).mkdir(parents=True)
    np.savez(folder / VECTORS, keys=_packed(said.vectors), vectors=_stacked(said.vectors))
    ids = np.concatenate([np.zeros(0, np.int64), *said.ids.values()]).astype(np.int32)
    np.savez(folder / IDS, keys=_packed(said.ids), lengths=np.array([*map(len, said.ids.values())], np.int32), ids=ids)
    write_text(folder / ANSWERS, to_json(said.answers))
    write_text(folder / FACTS, to_json(asdict(said.facts) if said.facts else None))
    write_text(folder / GRAPHS, to_json(said.graphs))
    if asked is not None:
        shutil.copyfile(asked, folder / ASKED)
    shutil.copyfile(golden, folder / GOLDEN)
    if not golden.samefile(corpus):
        shutil.copyfile(corpus, folder / CORPUS)
    shutil.copyfile(source / REVISION, folder / REVISION)
    for path in sorted((source / REGISTERED).glob("*.json")):
        shutil.copyfile(path, folder / REGISTERED / path.name)
    index = {
        "format": FORMAT,
        "bounds": dict(bounds),
        "checks": [asdict(check) for check in checks.values()],
        "files": {name: sha256(folder / name) for name in relative_files(folder)},
    }
    write_text(folder / INDEX, to_json(index))


def is_recording(folder: Path) -> bool:
    """Whether a folder holds a recording, and no model."""
    return (folder / INDEX).exists()


def read(folder: Path) -> Recording:
    """The recording in a folder.

    Raises:
        ModelkilnError: there is none, it is of another format, or a file of it is missing or was altered.
    """
    if not is_recording(folder):
        raise ModelkilnError(f"{folder}: no recording here (no {INDEX}); validation leaves one in evidence/{FOLDER}")
    data = read_json(folder / INDEX, "the recording")
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ModelkilnError(f"{folder}: a recording of format {found!r}; this modelkiln reads format {FORMAT}")
    try:
        files = dict(data["files"])
        checks = {check.name: check for check in map(to_check, data["checks"])}
        bounds = {str(name): float(bound) for name, bound in data["bounds"].items()}
    except (AttributeError, KeyError, ModelkilnError, TypeError, ValueError) as error:
        raise ModelkilnError(f"{folder / INDEX}: the recording is damaged: {error!r}; {STALE}") from error
    altered = [
        f"{name} is missing or was altered"
        for name, digest in files.items()
        if not is_inside(name) or not (folder / name).is_file() or sha256(folder / name) != digest
    ]
    needed = (VECTORS, IDS, ANSWERS, FACTS, GRAPHS, GOLDEN, REVISION)
    altered += [f"{name} is not listed" for name in needed if name not in files]
    raise_all(f"{folder}: not what was recorded ({STALE})", altered)
    try:
        with np.load(folder / VECTORS, allow_pickle=False) as kept:
            vectors = dict(zip(_unpacked(kept["keys"]), kept["vectors"], strict=True))
        with np.load(folder / IDS, allow_pickle=False) as kept:
            rows = np.split(kept["ids"], np.cumsum(kept["lengths"])[:-1])
            ids = {key: row.tolist() for key, row in zip(_unpacked(kept["keys"]), rows, strict=False)}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelkilnError(f"{folder}: {VECTORS} or {IDS} is damaged: {error}; {STALE}") from error
    answers = read_json(folder / ANSWERS, "the recorded answers")
    facts = _parsed(Facts | None, folder / FACTS)
    said = Said(vectors, ids, answers, facts, _parsed(dict[str, dict[str, str]], folder / GRAPHS))
    return Recording(folder, bounds, checks, said)


def _parsed(kind: Any, path: Path) -> Any:
    mistakes: list[str] = []
    parsed = schema.parse(kind, read_json(path, f"the recorded {path.stem}"), "", mistakes)
    raise_all(f"{path}: the recorded {path.stem} are damaged ({STALE})", mistakes)
    return parsed


def _packed(said: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The keys, as the bytes that their hex digits stand for: (n, 32)."""
    return np.frombuffer(bytes.fromhex("".join(said)), dtype=np.uint8).reshape(-1, 32)


def _unpacked(keys: NDArray[np.uint8]) -> list[str]:
    return [key.tobytes().hex() for key in keys]


def _stacked(vectors: Mapping[str, Any]) -> Vectors:
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 0), dtype=np.float32)
