"""Files: their digests, JSON that reads the same everywhere, and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from modelkiln.errors import ModelkilnError

PARTIAL = ".partial"
LARGEST = 1 << 28  # bytes of a JSON file
CHUNK = 1 << 20  # bytes read at a time: hashing and copying need constant memory


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened for reading; an OSError where it is a pipe or a device, which might never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield file


def sha256(path: Path) -> str:
    """The hex SHA-256 of a regular file's bytes."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
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


def read_json(path: Path, what: str, most: int = LARGEST) -> Any:
    """The contents of a JSON file.

    Args:
        path: The file.
        what: What the file is, for the error: "the manifest".
        most: Bytes; of a larger one nothing is read.

    Raises:
        ModelkilnError: the file is missing, is no JSON, or names a key twice: which one counts is each reader's to say.
    """
    try:
        with open_regular(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise ModelkilnError(
                    f"{path}: {what} has {size / 1e6:.0f} MB, expected {most / 1e6:.0f} MB at the most"
                )
            return json.loads(file.read(most).decode("utf-8"), object_pairs_hook=_object)
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
    """Writes a file that appears whole or not at all, however many processes write it at once."""
    with staged_file(path) as partial:
        partial.write_bytes(text.encode("utf-8"))


@contextmanager
def staged_file(dest: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `dest` when the block ends well, and is gone when it does not.

    What else is written into the folder that it lies in goes with that. See staged_folder.
    """
    with _writing(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with _partial(dest) as folder:
            yield folder / dest.name
            os.replace(folder / dest.name, dest)


@contextmanager
def staged_folder(dest: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `dest` when the block ends well, and is gone when it does not.

    What a killed run left behind is cleared by the next one. The old `dest` stays until the new one is complete. Of
    several writers each has a folder of its own, and the last one to end well has its whole folder there. Where `dest`
    is a link to a folder, that folder is replaced.

    Raises:
        ModelkilnError: the place can't be written to.
    """
    with _writing(dest):
        dest = dest.resolve() if dest.is_symlink() else dest
        dest.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(dest.parent):
            _settle(dest)
        with _partial(dest) as partial:
            yield partial
            with _alone_in(dest.parent):
                _settle(dest)
                if os.path.lexists(dest):
                    os.replace(dest, _old(dest))
                try:
                    os.replace(partial, dest)
                finally:
                    _settle(dest)


def _old(dest: Path) -> Path:
    """Where a folder stands for the moment in which the new one takes its place."""
    return dest.with_name(f".{dest.name}.old")


def _settle(dest: Path) -> None:
    """Brings the old folder back, or clears it away, whichever a writer did not come to; nobody else is at it."""
    if os.path.lexists(_old(dest)):
        if os.path.lexists(dest):
            # Under a name that nobody takes for a whole one, should this be killed half-way.
            doomed = _unused(dest)
            os.replace(_old(dest), doomed)
            _remove(doomed)
        else:
            os.replace(_old(dest), dest)


def _unused(dest: Path) -> Path:
    return dest.with_name(f".{dest.name}.{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def _partial(dest: Path) -> Iterator[Path]:
    """A folder beside `dest` that only this writer has; gone when the block ends, unless it was moved.

    A lock on it, which ends with the process, tells it from what a killed writer has left. The next one clears that.
    """
    for name in os.listdir(dest.parent):
        if name.startswith(f".{dest.name}.") and name.endswith(PARTIAL):
            with _locked(dest.with_name(name)) as lock:
                if lock is not None:
                    _remove(dest.with_name(name))
    while True:
        partial = _unused(dest)
        partial.mkdir()
        with _locked(partial, wait=True):
            if not os.path.lexists(partial):
                continue  # another writer has cleared it before it was locked
            try:
                yield partial
            finally:
                _remove(partial)
            return


@contextmanager
def _locked(path: Path, wait: bool = False) -> Iterator[int | None]:
    """Holds the lock on a file or folder while the block lasts; None: somebody else has it, or there can be none.

    A link, a pipe and what is not there are nobody's, so they count as locked by us.
    """
    import fcntl

    try:
        kind = os.lstat(path).st_mode
        handle = os.open(path, os.O_RDONLY) if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else -1
    except OSError:
        yield None
        return
    try:
        if handle >= 0:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held, or a file system without locks
        yield None
    else:
        yield handle
    finally:
        if handle >= 0:
            os.close(handle)


def _alone_in(folder: Path) -> AbstractContextManager[int | None]:
    """Lets one writer at a time rename what is in a folder; a matter of milliseconds."""
    return _locked(folder, wait=True)


def _remove(path: Path) -> None:
    """Whatever it is; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
