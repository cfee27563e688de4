"""A file of answers, one line of JSON each, that a later run goes on with: whatever ended the last one, even kill -9.

The lines are answers and nothing else. What they answer is in a file beside it, FILE.run.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from modelkiln.errors import ModelkilnError
from modelkiln.files import CHUNK, read_json, to_json, write_text

ANEW = "--overwrite starts anew"


class AnswerFile:
    """An open file of answers, at its end. `found`: how many there were; `count`: how many there are."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self.found, self._end = _whole_lines(file)
        self.count = self.found
        self.cut()

    def write(self, line: str) -> None:
        """Adds an answer, which is in the file when this returns.

        Raises:
            ModelkilnError: the disk is full, or gone.
        """
        # A lone surrogate is no UTF-8; its escape in JSON is what backslashreplace gives.
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            raise ModelkilnError(
                f"{self.path}: {error.strerror}; {self.count} answers are written, and the same command goes on there"
            ) from error
        self._end += len(data)
        self.count += 1

    def cut(self) -> None:
        """Takes off a line that was begun."""
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def ids(self) -> Iterator[object]:
        """The ids of the answers that were found."""
        with self.path.open("rb") as lines:
            for number, line in zip(range(1, self.found + 1), lines, strict=False):
                try:
                    yield json.loads(line)["id"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise ModelkilnError(f"{self.path}, line {number}: not an answer of modelkiln; {ANEW}") from None


@contextmanager
def open_answers(path: Path, run: Mapping[str, Any], overwrite: bool) -> Iterator[AnswerFile]:
    """The file, behind the answers that an earlier run of the same kind left there.

    Args:
        path: The file; it is made where it is not there.
        run: What decides the answers, for JSON; an earlier run's must be equal.
        overwrite: Whether to throw away what is there.

    Raises:
        ModelkilnError: the file is another run's, or nobody's; another process is writing it; or it can't be written.
    """
    record = path.with_name(f"{path.name}.run.json")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ModelkilnError(f"{path}: can't write here: {error.strerror}") from error
    with open(descriptor, "r+b", buffering=0) as file:
        if not path.is_file():
            raise ModelkilnError(
                f"{path}: no file that could be gone on with; leave --output out, and redirect instead"
            )
        _lock(path, file)
        if overwrite:
            file.truncate(0)
        if os.fstat(file.fileno()).st_size:
            _check_same(path, record, run)
        else:
            write_text(record, to_json(run))
        answers = AnswerFile(path, file)
        try:
            yield answers
        finally:
            answers.cut()


def _whole_lines(file: BinaryIO) -> tuple[int, int]:
    """How many lines have an end, and where the last of them ends."""
    file.seek(0)
    count = end = place = 0
    while chunk := file.read(CHUNK):
        count += chunk.count(b"\n")
        end = place + chunk.rfind(b"\n") + 1 if b"\n" in chunk else end
        place += len(chunk)
    return count, end


def _check_same(path: Path, record: Path, run: Mapping[str, Any]) -> None:
    if not record.exists():
        raise ModelkilnError(f"{path} is there, but not {record.name}, which would say what it answers; {ANEW}")
    before = read_json(record, "what the answers are to")
    if not isinstance(before, dict):
        raise ModelkilnError(f"{record}: expected an object, found {type(before).__name__}; {ANEW}")
    now = json.loads(to_json(run))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        differ = "; ".join(f"{name} was {before.get(name)!r} and is {now.get(name)!r}" for name in names)
        raise ModelkilnError(f"{path} holds the answers of another run: {differ}; {ANEW}")


def _lock(path: Path, file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:  # Windows, where nothing holds two runs apart
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ModelkilnError(f"{path}: another process is writing it") from error
