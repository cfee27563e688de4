"""The artifact: a folder with everything needed to serve a compiled model, and a manifest that vouches for every byte.

    manifest.json             what it is, what it was made from and with, and the sha256 of every other file
    graphs/…                  the compiled graphs, in the backend's own format
    tokenizer.json            the tokenizer, in the format of Hugging Face's `tokenizers`
    vocabulary/…              words, and the vectors that the graph gives them (vocabulary.py)
    task/…                    what the task adds, such as its stop words
    sbom.json                 what it takes to serve it, and under which licences (sbom.py); nothing loads it

The content digest is the sha256 of the manifest's own canonical JSON, so it covers the files, the source's revision and
the toolchain: two artifacts with the same digest are the same artifact. It holds no time, user, path or host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, read_json, relative_files, sha256, to_json, write_text
from modelkiln.machine import Machine

FORMAT = 3  # raised when an older modelkiln could misread what a newer one wrote
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
SBOM = "sbom.json"


@dataclass(frozen=True)
class File:
    """One file of an artifact: its size in bytes and its hex sha256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder: its graph's path in the artifact, and the envelope of inputs that the graph was compiled for."""

    graph: str
    layout: str  # of the graph's inputs, a key of layouts.AXES
    max_batch: int  # texts in a call
    max_length: int  # tokens in a text, special tokens included; longer texts are cut off there
    vocabulary: str | None = None  # the folder of its compiled vocabulary in the artifact


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says."""

    format: int
    task: str
    backend: str
    precision: str
    options: dict[str, Any]  # the backend's own
    encoders: dict[str, EncoderSpec]
    dimension: int  # of a vector
    pad_id: int  # the token id that fills a batch up
    source: dict[str, Any]  # revision.json of the uncompiled model, less its file list
    toolchain: dict[str, str]  # versions of what compiled it
    machine: Machine | None  # what its graphs need of the machine, where they are machine code
    files: dict[str, File]
    digest: str = ""

    @property
    def simulated(self) -> bool:
        """Whether a simulator compiled it, for a device that was not there: nothing of the sort may be served."""
        return bool(self.options.get("simulated"))

    def sha256s(self) -> dict[str, str]:
        """The sha256 of each file, by its path."""
        return {path: file.sha256 for path, file in self.files.items()}


def content_digest(manifest: Manifest) -> str:
    """The hex sha256 that identifies an artifact."""
    data = asdict(manifest)
    del data["digest"]
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def graph_digest(graph: str, digests: Mapping[str, str]) -> str:
    """The hex sha256 of a graph with all that lies beside it, such as weights in a file of their own.

    Args:
        graph: Its path in the artifact.
        digests: The sha256 of the artifact's files, or of its graphs' at the least.
    """
    folder = PurePosixPath(graph).parent
    beside = sorted(name for name in digests if PurePosixPath(name).parent == folder)
    lines = [f"{digests[name]}  {name}\n" for name in beside]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Writes the manifest of a finished folder, with the digests of all its files, and returns it."""
    paths = {name: folder / name for name in relative_files(folder) if name != MANIFEST}
    listed = {name: File(path.stat().st_size, sha256(path)) for name, path in paths.items()}
    sealed = replace(manifest, files=listed, digest="")
    sealed = replace(sealed, digest=content_digest(sealed))
    write_text(folder / MANIFEST, to_json(asdict(sealed)))
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact, checked for form and for its own digest, but not against the files.

    Raises:
        ModelkilnError: there is no artifact, or its manifest is damaged or of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise ModelkilnError(f"{folder}: no artifact here (no {MANIFEST}); compile one with `dvc repro compile`")
    data = read_json(path, "the manifest")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else None
        raise ModelkilnError(f"{path}: format {found!r}; this modelkiln reads format {FORMAT}")
    try:
        manifest = _manifest(data)
        digest = content_digest(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelkilnError(f"{path}: the manifest is damaged: {type(error).__name__}: {error}") from error
    if digest != manifest.digest:
        raise ModelkilnError(f"{path}: the manifest was altered: its contents do not match its own digest")
    return manifest


def verify(folder: Path, expected_digest: str | None = None) -> Manifest:
    """The manifest of an artifact whose every byte is as it was sealed; nothing of it is loaded.

    Args:
        folder: The artifact.
        expected_digest: The content digest that it must have, where one is known from elsewhere.

    Raises:
        ModelkilnError: a file is missing, altered, truncated or not listed (all of them are named).
    """
    manifest = read_manifest(folder)
    mistakes = []
    if expected_digest is not None and manifest.digest != expected_digest:
        mistakes.append(f"its digest is {manifest.digest}, expected {expected_digest}")
    found = set(relative_files(folder)) - {MANIFEST}
    for name, file in sorted(manifest.files.items()):
        if not is_inside(name):
            mistakes.append(f"{name!r} points outside the artifact")
        elif name not in found:
            mistakes.append(f"{name} is missing")
        elif (size := (folder / name).stat().st_size) != file.size:
            mistakes.append(f"{name} has {size} bytes, expected {file.size}")
        elif sha256(folder / name) != file.sha256:
            mistakes.append(f"{name} was altered: its sha256 is not the manifest's")
    mistakes += [f"{name} is not in the manifest" for name in sorted(found - set(manifest.files))]
    folders = {parent.as_posix() for name in manifest.files for parent in PurePosixPath(name).parents}
    mistakes += [f"the folder {name} is not in the manifest" for name in _folders(folder) if name not in folders]
    for encoder, spec in manifest.encoders.items():
        if spec.graph not in manifest.files:
            mistakes.append(f"the graph of encoder {encoder!r}, {spec.graph!r}, is not in the manifest")
        if spec.vocabulary is not None and not any(name.startswith(f"{spec.vocabulary}/") for name in manifest.files):
            mistakes.append(f"the vocabulary of encoder {encoder!r}, {spec.vocabulary!r}, is not in the manifest")
    raise_all(f"{folder}: refused, this is not the artifact that was compiled", mistakes)
    return manifest


def _folders(folder: Path) -> list[str]:
    """The folders in an artifact, relative to it; a link to one counts as one that nothing lists."""
    paths = sorted(path for path in folder.rglob("*") if path.is_dir())
    return [path.relative_to(folder).as_posix() + (" (a link)" if path.is_symlink() else "") for path in paths]


def encoder_digest(manifest: Manifest, name: str) -> str:
    """The hex sha256 of all that an encoder's vectors depend on; encoders that share it give the same vectors."""
    spec = manifest.encoders[name]
    digests = manifest.sha256s()
    # The graph itself too, since the digest of all that lies with it is the same for another one there.
    parts = f"{digests[spec.graph]} {graph_digest(spec.graph, digests)} {digests[TOKENIZER]} {spec.max_length}"
    return hashlib.sha256(parts.encode()).hexdigest()


def _manifest(data: dict[str, Any]) -> Manifest:
    machine = data["machine"]
    unknown = set(data) - {field.name for field in fields(Manifest)}
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    return Manifest(
        **{
            **data,
            "encoders": {name: EncoderSpec(**spec) for name, spec in data["encoders"].items()},
            "files": {name: File(**file) for name, file in data["files"].items()},
            "machine": machine and Machine(**{**machine, "instructions": tuple(machine["instructions"])}),
        }
    )
