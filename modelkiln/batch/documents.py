"""Files -> documents, one after the other: text files, JSON lines and Parquet, whatever their size."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import say

STDIN = Path("-")
ROWS = 64  # of a Parquet file, in memory at a time


class Format(Enum):
    """How documents lie in a file."""

    text = "text"  # one document
    jsonl = "jsonl"  # an object a line
    parquet = "parquet"  # a row each


SUFFIXES = {
    **dict.fromkeys(("", ".txt", ".text", ".md"), Format.text),
    **dict.fromkeys((".jsonl", ".ndjson"), Format.jsonl),
    ".parquet": Format.parquet,
}


@dataclass(frozen=True)
class Fields:
    """Where a line or a row has its text and its id."""

    text: str = "text"
    id: str | None = None  # None: `id` where there is one


@dataclass(frozen=True)
class Document:
    """A text under its id: a text file's path, the value of the id's field, or the number of its line or row."""

    id: str | int
    text: str
    error: str = ""  # why there is no text, and where


@dataclass(frozen=True)
class Source:
    """A file, or standard input, and how to read it."""

    path: Path
    format: Format

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.path == STDIN else str(self.path)


def find_sources(paths: Sequence[Path], given: Format | None) -> list[Source]:
    """The files with their formats, by suffix unless one is given; standard input is text unless one is given.

    Raises:
        ModelkilnError: a file is not there, or is of an unknown format.
    """
    missing = [str(path) for path in paths if path != STDIN and not path.exists()]
    if missing:
        raise ModelkilnError(f"no such file: {', '.join(missing)}")
    for path in paths:
        if path.is_dir():
            raise ModelkilnError(f"{path}: a folder; name the files in it")
        if path.is_fifo():
            say(f"{path}: a pipe; waiting for who writes to it, until that ends")
        if given is None and path.suffix.lower() not in SUFFIXES:
            raise ModelkilnError(
                f"{path}: unknown suffix; expected one of {', '.join(filter(None, SUFFIXES))}, or say --format"
            )
    if list(paths).count(STDIN) > 1:
        raise ModelkilnError("standard input (-) can be read once only")
    if STDIN in paths and given is Format.parquet:
        raise ModelkilnError("Parquet can't be read from standard input: it is read from its end; name the file")
    return [Source(path, given or SUFFIXES[path.suffix.lower()]) for path in paths]


def count_documents(sources: Sequence[Source], fields: Fields) -> int | None:
    """How many documents there are, or None where only reading them would tell. Parquet files are held to the fields.

    Raises:
        ModelkilnError: a Parquet file can't be read, or has no such column; or pyarrow is missing.
    """
    total = 0
    for source in sources:
        total += 1 if source.format is Format.text else 0
        if source.format is Format.parquet:
            with _open_parquet(source.path, fields) as file:
                total += file.metadata.num_rows
    return None if any(source.format is Format.jsonl for source in sources) else total


def read_documents(sources: Sequence[Source], fields: Fields) -> Iterator[Document]:
    """The documents in order, with an `error` in place of the text where one has none that can be read.

    Raises:
        ModelkilnError: a file can't be read any further.
    """
    for source in sources:
        if source.format is Format.text:
            yield _read_text(source)
        elif source.format is Format.jsonl:
            yield from _read_lines(source, fields)
        else:
            yield from _read_rows(source.path, fields)


def read_words(path: Path) -> list[str]:
    """The words or phrases of a text file, one per line.

    Raises:
        ModelkilnError: it can't be read.
    """
    document = _read_text(Source(path, Format.text))
    if document.error:
        raise ModelkilnError(document.error)
    return [line.strip() for line in document.text.splitlines() if line.strip()]


def _read_text(source: Source) -> Document:
    name = str(source.path)
    try:
        data = sys.stdin.buffer.read() if source.path == STDIN else source.path.read_bytes()
        return Document(name, data.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except UnicodeDecodeError as error:
        return Document(name, "", f"{source.name}: not UTF-8 at byte {error.start}; convert it (iconv -t utf-8)")
    except OSError as error:
        return Document(name, "", f"{source.name}: {error.strerror}")


def _read_lines(source: Source, fields: Fields) -> Iterator[Document]:
    try:
        with nullcontext(sys.stdin.buffer) if source.path == STDIN else source.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield _document_of(_parse(line), fields, number, f"{source.name}, line {number}")
    except OSError as error:
        raise ModelkilnError(f"{source.name}: {error.strerror}") from error


def _parse(line: bytes) -> Any:
    """What the line holds, or why it holds nothing."""
    try:
        data = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}; convert it (iconv -t utf-8)"
    except (ValueError, RecursionError) as error:
        return f"no JSON: {one_line(error)}"
    return data if isinstance(data, dict) else f"expected a JSON object, found {type(data).__name__}"


def _read_rows(path: Path, fields: Fields) -> Iterator[Document]:
    file = _open_parquet(path, fields)
    import pyarrow

    columns = [name for name in (fields.text, fields.id or "id") if name in file.schema_arrow.names]
    number = 0
    try:
        with file:
            for batch in file.iter_batches(ROWS, columns=columns, use_threads=False):
                for row in range(batch.num_rows):
                    number += 1
                    try:
                        data: Any = {name: batch.column(name)[row].as_py() for name in columns}
                    except UnicodeDecodeError as error:
                        data = f"not UTF-8 at byte {error.start}"
                    yield _document_of(data, fields, number, f"{path}, row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        raise ModelkilnError(f"{path}, behind row {number}: can't be read as Parquet: {one_line(error)}") from error


def _open_parquet(path: Path, fields: Fields) -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ModelkilnError(f"{path}: Parquet needs pyarrow: pip install 'modelkiln[parquet]' ({error})") from error
    try:
        # Page by page: a row group may be as large as the file.
        file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise ModelkilnError(f"{path}: can't be read as Parquet: {one_line(error)}") from error
    schema = file.schema_arrow
    for column in (fields.text, fields.id or "id"):
        if (columns := schema.names.count(column)) > 1:
            raise ModelkilnError(f"{path}: {columns} columns are called {column!r}; which one is meant?")
    for name, option in ((fields.text, "--text-field"), (fields.id, "--id-field")):
        if name is not None and name not in schema.names:
            raise ModelkilnError(f"{path}: no column {name!r}; it has {_listed(schema.names)}; say {option}")
    found = schema.field(fields.text).type
    if str(found.value_type if pyarrow.types.is_dictionary(found) else found) not in (
        "string",
        "large_string",
        "string_view",
    ):
        raise ModelkilnError(f"{path}: column {fields.text!r}: expected text, found {found}; say --text-field")
    return file


def _document_of(data: Any, fields: Fields, number: int, place: str) -> Document:
    """The document of an object; or, with its error, of what was no object."""
    if isinstance(data, str):
        return Document(number, "", f"{place}: {data}")
    found = data.get(fields.id or "id")
    name = found if isinstance(found, str | int) and not isinstance(found, bool) else number
    if name is not found and (found is not None or fields.id):
        expected = f"{fields.id or 'id'!r}: expected text or a whole number"
        return Document(name, "", f"{place}: {expected}, found {type(found).__name__}")
    text = data.get(fields.text)
    if isinstance(text, str):
        return Document(name, text)
    if fields.text in data:
        return Document(name, "", f"{place}: {fields.text!r}: expected text, found {type(text).__name__}")
    return Document(name, "", f"{place}: no {fields.text!r}; it has {_listed(data)}; say --text-field")


def _listed(names: Any) -> str:
    some = [repr(name) for name in names][:8]
    return ", ".join(some) + (", …" if len(names) > len(some) else "") if some else "nothing"
