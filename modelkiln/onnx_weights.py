"""The files beside an ONNX graph that hold its weights, found without the `onnx` library, which serving lacks.

A graph is one protobuf message, which holds at most 2 GiB; what is beyond goes into a file of external data, and the
graph names it (https://onnx.ai/onnx/repo-docs/ExternalData.html). The messages are walked as they lie in the file,
mapped into memory: what is not on the way to such a name is passed over and never read
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelkiln.errors import ModelkilnError

# The messages on the way to a tensor, and which of their fields hold which: onnx.proto3 of ONNX 1.23.
FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},  # a pair of texts
    "external data": {1: "key", 2: "value"},
}
LENGTH = 2  # the wire type of what has a length: texts, bytes, messages
LOCATION = b"location"  # the key whose value is a file's name


def weight_files(path: Path) -> list[str]:
    """The names, relative to the graph's folder, of the files that an ONNX graph reads; sorted, each once.

    Raises:
        ModelkilnError: the file is missing, or damaged.
    """
    with mapped(path) as data:
        return sorted(_locations(data))


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The graph's bytes, as they lie in the file; what the block finds no protobuf in is said in one line.

    Raises:
        ModelkilnError: the file is missing, or damaged.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise ValueError("it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except OSError as error:
        raise ModelkilnError(f"{path}: can't read the graph: {error.strerror}") from error
    except ValueError as error:  # of UTF-8, too
        raise ModelkilnError(f"{path}: the ONNX graph is damaged: {error}") from error


def _locations(data: mmap.mmap) -> set[str]:
    found = set()
    waiting = [("model", 0, len(data))]
    while waiting:  # no recursion: a graph may be nested as deeply as somebody likes
        kind, start, end = waiting.pop()
        parts = [(FIELDS[kind].get(number, ""), first, last) for number, first, last in _fields(data, start, end)]
        if kind == "external data":
            texts = {part: data[first:last] for part, first, last in parts}
            if texts.get("key") == LOCATION:
                found.add(texts.get("value", b"").decode("utf-8"))
        else:
            waiting += [part for part in parts if part[0]]
    return found


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of each field of a message that has a length, and where what is in it begins and ends."""
    return ((number, first, last) for number, form, first, last in every_field(data, start, end) if form == LENGTH)


def every_field(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of a message: its number, its wire type, and where what is in it begins and ends.

    Raises:
        ValueError: this is no message.
    """
    while start < end:
        tag, start = _number(data, start, end)
        number, form = tag >> 3, tag & 7
        first = start
        if form == 0:
            _, start = _number(data, start, end)
        elif form == 2:
            size, first = _number(data, start, end)
            start = first + size
        elif form in (1, 5):
            start += 8 if form == 1 else 4
        if form not in (0, 1, 2, 5) or not number or start > end:
            raise ValueError(f"no field of a protobuf at byte {first}")
        yield number, form, first, start


def number_at(data: mmap.mmap, start: int, end: int) -> int:
    """The number that a field of wire type 0 holds."""
    return _number(data, start, end)[0]


def _number(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for place in range(start, min(start + 10, end)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    raise ValueError(f"no number at byte {start}")
