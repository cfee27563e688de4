"""What the uncompiled model says of the checks' texts, written down, so that a machine without it can judge by that.

    reference.json                what judged, the checks of the source itself, and the sha256 of each file below
    answers.json, vectors.npz     its answers and its vectors, by digests of the texts
    golden.jsonl, corpus.jsonl    the texts that a judgement is about; the corpus where it is another file
    revision.json, golden/…       of the source: which one it is, and the golden samples that it was registered with

A validation leaves one in reports/validation/evidence/reference; `modelkiln verify --reference` judges by it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, read_json, relative_files, sha256, storable, to_json, write_text
from modelkiln.verdict import Check, to_check

FORMAT = 1
FOLDER = "reference"  # in the evidence
INDEX, ANSWERS, VECTORS = "reference.json", "answers.json", "vectors.npz"
GOLDEN, CORPUS = "golden.jsonl", "corpus.jsonl"
REVISION, REGISTERED = "revision.json", "golden"  # under the names that they have in the source
STALE = "validate again where the uncompiled model is, and copy its evidence/reference here"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """What the uncompiled model has been asked, and what it said."""

    vectors: dict[str, Any] = field(default_factory=dict)  # by text_key: (dimension,), float32
    answers: dict[str, Any] = field(default_factory=dict)  # by answers_key: an answer for each text, as JSON has it


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
        try:
            return np.stack([self.said.vectors[text_key(text)] for text in texts])
        except KeyError:
            raise ModelkilnError(
                f"{self.folder}: has no vector of a text that this check asks for: it was recorded for another "
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


def answers_key(texts: Sequence[str], params: Mapping[str, Any]) -> str:
    """What the answers to some texts in one mode are found by."""
    asked = json.dumps([[text_key(text) for text in texts], params], sort_keys=True)  # a tuple is a list there
    return hashlib.sha256(asked.encode()).hexdigest()


def write(
    folder: Path,
    said: Said,
    source: Path,
    golden: Path,
    corpus: Path,
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
        bounds: What the judgement holds figures to.
        checks: Those of the source itself, by name.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / REGISTERED).mkdir(parents=True)
    np.savez(folder / VECTORS, keys=np.array(list(said.vectors)), vectors=_stacked(said.vectors))
    write_text(folder / ANSWERS, to_json(said.answers))
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
        checks = {check["name"]: to_check(check) for check in data["checks"]}
        bounds = {str(name): float(bound) for name, bound in data["bounds"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelkilnError(f"{folder / INDEX}: the recording is damaged: {error!r}; {STALE}") from error
    altered = [
        f"{name} is missing or was altered"
        for name, digest in files.items()
        if not is_inside(name) or not (folder / name).is_file() or sha256(folder / name) != digest
    ]
    altered += [f"{name} is not listed" for name in (VECTORS, ANSWERS, GOLDEN, REVISION) if name not in files]
    raise_all(f"{folder}: not what was recorded ({STALE})", altered)
    try:
        with np.load(folder / VECTORS, allow_pickle=False) as kept:
            vectors = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelkilnError(f"{folder / VECTORS}: damaged: {error}; {STALE}") from error
    said = Said(vectors, read_json(folder / ANSWERS, "the recorded answers"))
    return Recording(folder, bounds, checks, said)


def _stacked(vectors: Mapping[str, Any]) -> Vectors:
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 0), dtype=np.float32)
