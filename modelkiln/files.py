"""Files: their digests, JSON that reads the same everywhere, and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from modelkiln.errors import ModelkilnError

CHUNK = 1 << 20  # bytes read at a time: hashing and copying need constant memory


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def relative_files(folder: Path) -> list[str]:
    """The paths of all files below a folder, relative to it, with forward slashes, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def folder_digest(folder: Path) -> str:
    """The hex SHA-256 of the paths and the contents of all files below a folder."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in relative_files(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_inside(relative: str) -> bool:
    """Whether a path that came from outside stays in the folder that it is joined to, on every system."""
    path = PurePosixPath(relative)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and not ({"..", "."} & set(relative.split("/")))
        and ("\\" not in relative and ":" not in relative and "\0" not in relative)
    )


def read_json(path: Path, what: str) -> Any:
    """The contents of a JSON file.

    Args:
        path: The file.
        what: What the file is, for the error: "the manifest".

    Raises:
        ModelkilnError: the file is missing, is no JSON, or names a key twice: which one counts is each reader's to say.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except OSError as error:
        raise ModelkilnError(f"{path}: can't read {what}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise ModelkilnError(f"{path}: {what} is damaged: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def read_lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file, each with its number from 1; the file is read as they are asked for.

    Raises:
        ModelkilnError: the file is missing, or is not UTF-8 at a line; `what` says what the file is.
    """
    number = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                yield number, line
    except OSError as error:
        raise ModelkilnError(f"{path}: can't read {what}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelkilnError(f"{path}: {what}: not UTF-8 after line {number}; convert it (iconv -t utf-8)") from error


def storable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which is no character: no file and no tokenizer takes it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def to_json(data: Any) -> str:
    """`data` as JSON with sorted keys and a final newline: the same bytes for the same data. NaN is refused."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(text.encode("utf-8"))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def staged_folder(dest: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `dest` when the block ends well, and is gone when it does not.

    What a killed run left behind is cleared by the next one. The old `dest` stays until the new one is complete.

    Raises:
        ModelkilnError: the place can't be written to.
    """
    partial = dest.with_name(f".{dest.name}.partial")
    old = dest.with_name(f".{dest.name}.old")
    with _writing(dest):
        if old.exists() and not dest.exists():  # killed between the two renames below
            os.replace(old, dest)
        for leftover in (partial, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir(parents=True)
    try:
        with _writing(dest):
            yield partial
            if dest.exists():
                os.replace(dest, old)
            try:
                os.replace(partial, dest)
            except OSError:
                if old.exists():
                    os.replace(old, dest)
                raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _writing(dest: Path) -> Iterator[None]:
    """Turns an error of writing at `dest` into one line; any other error of the block is none of ours."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or "")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) and not place.startswith(str(dest.parent)):
            raise
        raise ModelkilnError(
            f"{dest}: can't write here: {error.strerror} ({place or dest}); "
            "choose a folder that you may write to and that has room"
        ) from error
