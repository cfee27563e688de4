"""Files that Neptune tracked: it never had their bytes, only where in S3 they are, how large, and with what hash.

neptune-exporter writes such an Artifact as files_list.json, whose entries have filePath, fileHash, type, size and
metadata, a list of key and value. Facts read in neptune 1.14 (internal/artifacts): the hash is the ETag that S3 gave,
which is the MD5 of the bytes, but not where they were uploaded in parts or encrypted with a key of KMS. Of such an
object all that can be checked is the size, and that S3 gives the same ETag now.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import s3
from modelkiln.errors import ModelkilnError
from modelkiln.files import CHUNK, read_json

LIST = "files_list.json"
WHAT = "the list of tracked files"


@dataclass(frozen=True)
class Tracked:
    """A file whose bytes are in S3."""

    listed_in: Path
    location: str
    size: int | None
    etag: str


def read(attribute: str, path: Path) -> dict[str, Tracked]:
    """The files of an Artifact: {attribute: file}, or, where it tracks a folder, {attribute/path: file}.

    Neptune tracks all that begins with the key, so the file that is meant may have others beside it.

    Raises:
        ModelkilnError: the list is damaged, or names files that are not in S3.
    """
    entries = read_json(path, WHAT)
    if not isinstance(entries, list) or not entries:
        raise ModelkilnError(f"{path}: {WHAT} is damaged: expected a list, and something in it")
    files = dict(_entry(entry, path) for entry in entries)
    own = attribute.rpartition("/")[2]
    if own in files or len(files) == 1:
        return {attribute: files.get(own) or next(iter(files.values()))}
    return {f"{attribute}/{name}": file for name, file in files.items()}


def fetch(file: Tracked, dest: Path) -> None:
    """Downloads a tracked file, and checks it as far as its hash allows.

    Raises:
        ModelkilnError: it is gone from S3, or no longer what was tracked.
        s3.Unreachable: S3 can't be asked.
    """
    try:
        s3.fetch(file.location, dest)
        size = dest.stat().st_size
        if file.size is not None and size != file.size:
            raise ModelkilnError(f"{file.location} has {size} bytes, expected {file.size}; it was replaced")
        if file.etag != _md5(dest) and file.etag != s3.etag(file.location):
            raise ModelkilnError(f"{file.location} is not what was tracked, with hash {file.etag}; it was replaced")
    except ModelkilnError as error:
        raise type(error)(f"{file.listed_in}: {error}") from error


def _entry(entry: Any, path: Path) -> tuple[str, Tracked]:
    try:
        metadata = {each["key"]: each["value"] for each in entry["metadata"]}
        name, etag, kind, size = entry["filePath"], entry["fileHash"], entry["type"], entry.get("size")
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelkilnError(
            f"{path}: {WHAT} is damaged: expected filePath, fileHash, type, size and metadata of each"
        ) from error
    if kind != "S3":
        raise ModelkilnError(
            f"{path}: {name!r} is of type {kind!r}, at {metadata.get('file_path')!r}: its bytes were never in Neptune, "
            "and only those in S3 are followed"
        )
    location = metadata.get("location")
    if not all(isinstance(text, str) for text in (name, etag, location)) or not isinstance(size, int | None):
        raise ModelkilnError(f"{path}: {WHAT} is damaged: {name!r} has no location, hash or size")
    return name, Tracked(path, str(location), size, etag)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
