"""The phrase cache: vectors of phrases in a file that outlives a process, and that several processes may share.

What stands in it was computed by the same graph from the same tokens, so it changes no answer. Several models may share
it. A file that is none of ours is refused, and not even opened by SQLite, which would write beside it. One of ours that
is damaged is left as it is, with a warning, and the answers are computed all the same.

An SQLite database: `encoders` has those that the vectors are of, `vectors` has a row for each phrase (UTF-8), with the
vector's float32 bytes and a CRC-32 over both, since SQLite would not notice an altered byte.
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
from modelkiln.files import open_regular

MEGABYTES = 1024  # of vectors; the oldest tenth gives way when they are more
SECONDS_TO_WAIT = 5.0  # for another process that is writing
APPLICATION = 0x6D6B6C6E  # in the file's header: that it is one of these
VERSION = 2  # of the tables
HEADER = b"SQLite format 3\0"
APPLICATION_AT = 68  # bytes: https://www.sqlite.org/fileformat.html
AT_ONCE = 500  # phrases in a query: within the number of variables that every SQLite takes
CREATE = f"""
BEGIN IMMEDIATE;
PRAGMA application_id={APPLICATION};
PRAGMA user_version={VERSION};
CREATE TABLE IF NOT EXISTS encoders (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY, encoder INTEGER NOT NULL, phrase BLOB, vector BLOB, crc INTEGER, UNIQUE (encoder, phrase)
);
COMMIT;
"""
T = TypeVar("T")


class PhraseStore:
    """The phrase cache in a file; safe to use from several threads, and the file from several processes."""

    def __init__(self, path: Path, encoder: str, dimension: int, megabytes: float = MEGABYTES) -> None:
        """Opens the file, or begins it.

        Args:
            path: The file.
            encoder: Identifies what gave the vectors: the same text, the same bytes of graph and tokenizer.
            dimension: Of a vector.
            megabytes: Of vectors that the file may hold, of all models together.

        Raises:
            ModelkilnError: there can't be a file at this place, or there is one that is no phrase cache.
        """
        self.path = path
        self._encoder = encoder
        self._dimension = dimension
        self._most = max(10, int(megabytes * 1e6 / (4 * dimension)))
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._number = 0  # of the encoder, in the file
        if path.is_dir() or not path.parent.is_dir():
            raise ModelkilnError(f"{path}: can't keep a phrase cache here: name a file in a folder that exists")
        _require_ours(path)
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
            if not self._encoder:
                return otherwise  # closed, or given up
            try:
                if self._database is None:
                    self._database = self._open()
                return work(self._database)
            except sqlite3.OperationalError as error:  # locked for long, a full disk, a folder not to be written to
                self._give_up(f"can't be used: {one_line(error)}")
            except sqlite3.DatabaseError as error:
                self._give_up(f"is damaged ({one_line(error)}), delete it when no process uses it")
            return otherwise

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, check_same_thread=False)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if not version:
                database.executescript(CREATE)
            elif version != VERSION:
                raise ModelkilnError(
                    f"{self.path}: a phrase cache of another modelkiln; delete it, or name another file"
                )
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=OFF")  # after a crash of the machine it may be begun anew
            with database:
                database.execute("INSERT OR IGNORE INTO encoders (digest) VALUES (?)", (self._encoder,))
            query = "SELECT id FROM encoders WHERE digest = ?"
            (self._number,) = database.execute(query, (self._encoder,)).fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _read(self, database: sqlite3.Connection, texts: list[str]) -> dict[str, Any]:
        found, altered = {}, []
        for start in range(0, len(texts), AT_ONCE):
            keys = [text.encode() for text in texts[start : start + AT_ONCE]]
            marks = ",".join("?" * len(keys))
            query = f"SELECT id, phrase, vector, crc FROM vectors WHERE encoder = ? AND phrase IN ({marks})"  # noqa: S608 (question marks)
            for number, phrase, vector, crc in database.execute(query, [self._number, *keys]):
                if zlib.crc32(phrase + vector) != crc or len(vector) != 4 * self._dimension:
                    altered.append((number,))
                else:
                    found[phrase.decode()] = np.frombuffer(vector, dtype=np.float32)
        if altered:
            with database:
                database.executemany("DELETE FROM vectors WHERE id = ?", altered)
            _warn(f"{self.path}: vectors of {len(altered)} phrases were altered on disk; they are computed again")
        return found

    def _write(self, database: sqlite3.Connection, rows: list[tuple[bytes, bytes]]) -> None:
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO vectors (encoder, phrase, vector, crc) VALUES (?, ?, ?, ?)",
                [(self._number, phrase, vector, zlib.crc32(phrase + vector)) for phrase, vector in rows],
            )
            # Hardly any go but the oldest, so the numbers have few gaps, and nothing needs to be counted. Two queries,
            # since SQLite looks up the one or the other, and reads the whole table for both.
            least, most = "(SELECT MIN(id) FROM vectors)", "(SELECT MAX(id) FROM vectors)"
            (count,) = database.execute(f"SELECT {most} - {least} + 1").fetchone()
            if count > self._most:
                database.execute(
                    "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY id LIMIT ?)",
                    (count - self._most + self._most // 10,),
                )

    def _give_up(self, why: str) -> None:
        _warn(f"{self.path}: the phrase cache {why}; going on without it")
        if self._database is not None:
            self._database.close()
        self._database = None
        self._encoder = ""


def _require_ours(path: Path) -> None:
    """Looks at a file's first bytes, and no further: SQLite may write to, or beside, whatever it opens."""
    if not os.path.lexists(path):
        return
    try:
        with open_regular(path) as file:
            head = file.read(APPLICATION_AT + 4)
    except OSError as error:
        raise ModelkilnError(f"{path}: not a phrase cache that can be read: {error.strerror}") from error
    if head and not (head.startswith(HEADER) and head[APPLICATION_AT:] == APPLICATION.to_bytes(4, "big")):
        raise ModelkilnError(f"{path}: not a phrase cache, so it is left alone; name another file, or one that is new")


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=2)
