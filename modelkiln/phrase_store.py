"""The phrase cache: vectors of phrases in a file that outlives a process, and that several processes may share.

What stands in it was computed by the same graph from the same tokens, so it changes no answer. A file that is damaged,
or another model's, or none of ours, is set aside with a warning and begun anew; where there can be none, the answers
are computed all the same.

An SQLite database: `about` names the encoder that the vectors are of, `vectors` has a row for each phrase (UTF-8), with
the vector's float32 bytes and a CRC-32 over both, since SQLite would not notice an altered byte.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from modelkiln.errors import ModelkilnError, one_line

MEGABYTES = 1024  # of vectors; the oldest tenth gives way when they are more
SECONDS_TO_WAIT = 5.0  # for another process that is writing
APPLICATION = 0x6D6B6C6E  # in the file's header: that it is one of these
ASIDE = ".aside"
AT_ONCE = 500  # phrases in a query: within the number of variables that every SQLite takes
CREATE = """
CREATE TABLE IF NOT EXISTS about (encoder TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, phrase BLOB UNIQUE, vector BLOB, crc INTEGER);
"""
T = TypeVar("T")


class DamagedError(Exception):
    """The file does not hold what was written."""


class PhraseStore:
    """The phrase cache in a file; safe to use from several threads, and the file from several processes."""

    def __init__(self, path: Path, encoder: str, dimension: int, megabytes: float = MEGABYTES) -> None:
        """Opens the file, or begins it.

        Args:
            path: The file.
            encoder: Identifies what gave the vectors: the same text, the same bytes of graph and tokenizer.
            dimension: Of a vector.
            megabytes: Of vectors that the file may hold.

        Raises:
            ModelkilnError: there can't be a file at this place.
        """
        self.path = path
        self._encoder = encoder
        self._dimension = dimension
        self._most = max(10, int(megabytes * 1e6 / (4 * dimension)))
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        if path.is_dir() or not path.parent.is_dir():
            raise ModelkilnError(f"{path}: can't keep a phrase cache here: name a file in a folder that exists")
        self._guarded(lambda _: None, None)

    def fill(self, texts: Sequence[str], vectors: Any, wanted: Sequence[int]) -> list[int]:
        """Puts the vectors of the known texts into their rows; see Vocabulary.fill."""
        nothing: dict[str, Any] = {}
        found = self._guarded(lambda database: self._read(database, [texts[index] for index in wanted]), nothing)
        for index in wanted:
            if texts[index] in found:
                vectors[index] = found[texts[index]]
        return [index for index in wanted if texts[index] not in found]

    def keep(self, texts: Sequence[str], vectors: Any) -> None:
        """Remembers the texts and their vectors, (len(texts), dimension)."""
        rows = [
            (text.encode(), np.asarray(row, np.float32).tobytes()) for text, row in zip(texts, vectors, strict=True)
        ]
        if rows:
            self._guarded(lambda database: self._write(database, rows), None)

    def close(self) -> None:
        """Closes the file; nothing is kept or found after that."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None
            self._encoder = ""

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What `work` gives; `otherwise`, after a warning, where the file does not allow it."""
        with self._lock:
            for attempt in ("first", "after beginning anew"):
                if not self._encoder:
                    break  # closed, or given up
                try:
                    if self._database is None:
                        self._database = self._open()
                    return work(self._database)
                except sqlite3.OperationalError as error:  # locked for long, a full disk, a folder not to be written to
                    self._give_up(f"can't be used: {one_line(error)}")
                except (sqlite3.DatabaseError, DamagedError) as error:
                    if attempt == "first":
                        self._begin_anew(one_line(error))
                    else:
                        self._give_up(f"can't be used: {one_line(error)}")
            return otherwise

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, check_same_thread=False)
        try:
            (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if not tables:
                database.execute(f"PRAGMA application_id={APPLICATION}")
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(CREATE)
            elif database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
                raise DamagedError("it is another program's database")
            database.execute("PRAGMA synchronous=OFF")  # after a crash of the machine it may be begun anew
            with database:
                database.execute("INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT 1 FROM about)", (self._encoder,))
            if database.execute("SELECT encoder FROM about").fetchall() != [(self._encoder,)]:
                raise DamagedError("it is another model's")
        except BaseException:
            database.close()
            raise
        return database

    def _read(self, database: sqlite3.Connection, texts: list[str]) -> dict[str, Any]:
        found = {}
        for start in range(0, len(texts), AT_ONCE):
            keys = [text.encode() for text in texts[start : start + AT_ONCE]]
            marks = ",".join("?" * len(keys))
            query = f"SELECT phrase, vector, crc FROM vectors WHERE phrase IN ({marks})"  # noqa: S608 (question marks)
            for phrase, vector, crc in database.execute(query, keys):
                if zlib.crc32(phrase + vector) != crc or len(vector) != 4 * self._dimension:
                    raise DamagedError("a vector was altered")
                found[phrase.decode()] = np.frombuffer(vector, dtype=np.float32)
        return found

    def _write(self, database: sqlite3.Connection, rows: list[tuple[bytes, bytes]]) -> None:
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO vectors (phrase, vector, crc) VALUES (?, ?, ?)",
                [(phrase, vector, zlib.crc32(phrase + vector)) for phrase, vector in rows],
            )
            # Only the oldest ever go, so the numbers have no gaps, and nothing needs to be counted. Two queries, since
            # SQLite looks up the one or the other, and reads the whole table for both.
            least, most = "(SELECT MIN(id) FROM vectors)", "(SELECT MAX(id) FROM vectors)"
            (count,) = database.execute(f"SELECT {most} - {least} + 1").fetchone()
            if count > self._most:
                database.execute(
                    "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY id LIMIT ?)",
                    (count - self._most + self._most // 10,),
                )

    def _begin_anew(self, why: str) -> None:
        _warn(
            f"{self.path}: no phrase cache of this model ({why}); set aside as {self.path.name}{ASIDE}, and begun anew"
        )
        if self._database is not None:
            self._database.close()
        self._database = None
        try:
            for suffix in ("-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            if self.path.exists():
                os.replace(self.path, f"{self.path}{ASIDE}")
        except OSError as error:
            self._give_up(f"can't be begun anew: {error.strerror}")

    def _give_up(self, why: str) -> None:
        _warn(f"{self.path}: the phrase cache {why}; going on without it")
        if self._database is not None:
            self._database.close()
        self._database = None
        self._encoder = ""


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=2)
