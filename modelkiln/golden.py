"""Golden samples, and corpora like them: the texts on which a compiled model is held to the uncompiled model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_lines, storable

SHIPPED = Path(__file__).parent / "checks" / "golden.jsonl"
EXPECTED = 'expected {"id": …, "text": …}'


@dataclass(frozen=True)
class Sample:
    """One text."""

    id: str
    text: str
    keywords: tuple[str, ...] = ()  # gold key phrases, where there are any


def read_samples(path: Path | None = None, what: str = "the golden samples") -> list[Sample]:
    """The samples of a JSONL file with `id`, `text` and, if there are any, `keywords` on each line.

    Args:
        path: The file; None: the samples that ship with modelkiln.
        what: What they are, for errors: "the corpus".

    Raises:
        ModelkilnError: the file is missing, empty, or malformed at a line, which the message names.
    """
    path = path or SHIPPED
    samples: list[Sample] = []
    lines_of: dict[str, int] = {}
    for number, line in read_lines(path, what):
        line = line.removeprefix("\ufeff") if number == 1 else line
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        sample = _sample_of(line, place)
        first = lines_of.setdefault(sample.id, number)
        if first != number:
            raise ModelkilnError(f"{place}: id {sample.id!r} is that of line {first} already; give each its own")
        samples.append(sample)
    if not samples:
        raise ModelkilnError(f"{path}: no {what.removeprefix('the ')} in it: {EXPECTED} on each line")
    return samples


def _sample_of(line: str, place: str) -> Sample:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ModelkilnError(f"{place}: {EXPECTED}, found no JSON: {one_line(error)}") from error
    if not isinstance(data, dict):
        raise ModelkilnError(f"{place}: {EXPECTED}, found {_kind(data)}")
    missing = [name for name in ("id", "text") if name not in data]
    if missing:
        raise ModelkilnError(f"{place}: {EXPECTED}, found no `{missing[0]}`")
    name, text, keywords = data["id"], data["text"], data.get("keywords", [])
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ModelkilnError(f"{place}: `id` has to be text or a whole number, found {_kind(name)}")
    if not isinstance(text, str) or not text.strip():
        found = "only blanks" if isinstance(text, str) else _kind(text)
        raise ModelkilnError(f"{place}: `text` has to be text, and some, found {found}")
    if not isinstance(keywords, list) or not all(isinstance(keyword, str) for keyword in keywords):
        strange = [each for each in keywords if not isinstance(each, str)] if isinstance(keywords, list) else []
        found = f"{_kind(strange[0])} in it" if strange else _kind(keywords)
        raise ModelkilnError(f'{place}: `keywords` has to be a list of text, as ["sleeper train"], found {found}')
    return Sample(storable(str(name)), storable(text), tuple(map(storable, keywords)))


def _kind(value: object) -> str:
    """JSON's own name of what was found."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
