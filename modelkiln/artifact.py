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
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from modelkiln import schema
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, read_json, relative_files, sha256, to_json, write_text
from modelkiln.machine import Machine

FORMAT = 3  # raised when an older modelkiln could misread what a newer one wrote
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
SBOM = "sbom.json"
LARGEST_MANIFEST = 1 << 24  # bytes
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # how DVC names what it keeps


@dataclass(frozen=True)
class File:
    """One file of an artifact: its size in bytes and its hex sha256."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if self.size < 0 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"no size and sha256 of a file: {self.size}, {self.sha256[:80]!r}")


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder: its graph's path in the artifact, and the envelope of inputs that the graph was compiled for."""

    graph: str
    layout: str  # of the graph's inputs, a key of layouts.AXES
    max_batch: int  # texts in a call
    max_length: int  # tokens in a text, special tokens included; longer texts are cut off there
    vocabulary: str | None = None  # the folder of its compiled vocabulary in the artifact

    def __post_init__(self) -> None:
        for path in (self.graph, self.vocabulary):
            if path is not None and not is_inside(path):
                raise ValueError(f"{path[:80]!r} points outside the artifact")
        if self.max_batch < 1 or self.max_length < 1:
            raise ValueError(f"max_batch {self.max_batch} and max_length {self.max_length} have to be 1 or more")


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

    def __post_init__(self) -> None:
        if not self.encoders:
            raise ValueError("there are no encoders")
        if self.dimension < 1 or self.pad_id < 0:
            raise ValueError(f"dimension {self.dimension} has to be 1 or more, and pad_id {self.pad_id} 0 or more")
        outside = next((name for name in self.files if not is_inside(name)), None)
        if outside is not None:
            raise ValueError(f"{outside[:80]!r} points outside the artifact")

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
    if path.is_symlink() and not path.exists():
        raise ModelkilnError(f"{path}: a link to what is no longer there; bring it back: `dvc checkout`, or `dvc pull`")
    if not path.exists():
        raise ModelkilnError(f"{folder}: no artifact here (no {MANIFEST}); compile one with `dvc repro compile`")
    data = read_json(path, "the manifest", LARGEST_MANIFEST)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else None
        raise ModelkilnError(f"{path}: format {schema.shown(found)}; this modelkiln reads format {FORMAT}")
    mistakes: list[str] = []
    try:
        manifest: Manifest = schema.parse(Manifest, data, "", mistakes)
        raise_all(f"{path}: the manifest is damaged", mistakes)
        digest = content_digest(manifest)
    except (RecursionError, UnicodeEncodeError, ValueError) as error:  # nested without end, no text, no JSON
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
    return _verify(folder, expected_digest)[0]


@contextmanager
def verified(folder: Path, expected_digest: str | None = None) -> Iterator[Manifest]:
    """The same, for a block that loads it: what it has loaded is what was verified, or this raises in the end."""
    manifest, stamps = _verify(folder, expected_digest)
    yield manifest
    changed = [name for name, stamp in stamps.items() if _stamp(folder / name) != stamp]
    raise_all(f"{folder}: changed while it was loaded; load it again", changed)


def _verify(folder: Path, expected_digest: str | None) -> tuple[Manifest, dict[str, tuple[int, ...]]]:
    manifest = read_manifest(folder)
    mistakes = []
    if expected_digest is not None and manifest.digest != expected_digest:
        mistakes.append(f"its digest is {manifest.digest}, expected {expected_digest}")
    found = set(relative_files(folder)) - {MANIFEST}
    stamps = {}
    for name, file in sorted(manifest.files.items()):
        if name not in found:
            mistakes.append(f"{name} is missing")
            continue
        path = folder / name
        try:
            stamps[name] = _stamp(path)
            if why := _no_file_of_ours(path):
                mistakes.append(f"{name} {why}")
            elif (size := path.stat().st_size) != file.size:
                mistakes.append(f"{name} has {size} bytes, expected {file.size}")
            elif sha256(path) != file.sha256:
                mistakes.append(f"{name} was altered: its sha256 is not the manifest's")
        except OSError as error:
            mistakes.append(f"{name} can't be read: {error.strerror}")
    mistakes += [f"{name} is not in the manifest" for name in sorted(found - set(manifest.files))]
    folders = {parent.as_posix() for name in manifest.files for parent in PurePosixPath(name).parents}
    mistakes += [f"the folder {name} is not in the manifest" for name in _folders(folder) if name not in folders]
    for encoder, spec in manifest.encoders.items():
        if spec.graph not in manifest.files:
            mistakes.append(f"the graph of encoder {encoder!r}, {spec.graph!r}, is not in the manifest")
        if spec.vocabulary is not None and not any(name.startswith(f"{spec.vocabulary}/") for name in manifest.files):
            mistakes.append(f"the vocabulary of encoder {encoder!r}, {spec.vocabulary!r}, is not in the manifest")
    raise_all(f"{folder}: refused, this is not the artifact that was compiled", mistakes)
    return manifest, stamps


def _no_file_of_ours(path: Path) -> str | None:
    """Why what stands there is no part of an artifact; None: a file, or a link of DVC's to one in its cache."""
    if path.is_symlink():
        target = path.resolve()
        if not path.exists():
            return "is a link to what is no longer there; bring it back: `dvc checkout`, or `dvc pull`"
        if not CACHED.search(target.as_posix()):
            return f"is a link to {target}, which nothing vouches for; copy the file here"
    return None if path.is_file() else "is no file"


def _stamp(path: Path) -> tuple[int, ...]:
    """What is another one as soon as somebody writes to a file, or puts another in its place."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
