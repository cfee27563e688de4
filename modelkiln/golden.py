"""Golden samples, and corpora like them: the texts on which a compiled model is held to the uncompiled model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln.contents import GOLDEN
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_json, read_lines, storable

SHIPPED = Path(__file__).parent / "checks" / "golden.jsonl"
EXPECTED = 'expected {"id": …, "text": …}'


@dataclass(frozen=True)
class Sample:
    """One text."""

    id: str
    text: str
    keywords: tuple[str, ...] = ()  # gold key phrases, where there are any


@dataclass(frozen=True)
class Registered:
    """What a trained model was registered with: inputs, and what it predicted for them."""

    inputs: list[str]
    modes: tuple[dict[str, Any], ...]  # arguments of a call
    predictions: tuple[Any, ...]  # for each mode: the answers, as JSON has them


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


def read_registered(folder: Path) -> Registered | None:
    """The golden samples that a model was registered with, or None where it came without.

    Args:
        folder: Holds inputs.json, a list of texts; inference_params.json, the arguments of one call or a list of them,
            one for each mode; and predictions.json, the answers: one for each input, in a list for each mode where
            there is a list of those.

    Raises:
        ModelkilnError: some are there, and others are missing, or don't fit together.
    """
    if not any((folder / f"{name}.json").exists() for name in GOLDEN):
        return None
    inputs, given, predictions = (read_json(folder / f"{name}.json", "the golden samples") for name in GOLDEN)
    if not isinstance(inputs, list) or not inputs or not all(isinstance(text, str) for text in inputs):
        raise ModelkilnError(f"{folder / 'inputs.json'}: expected a list of texts, and some")
    modes, answers = ([given], [predictions]) if isinstance(given, dict) else (given, predictions)
    if not isinstance(modes, list) or not modes or not all(isinstance(mode, dict) for mode in modes):
        raise ModelkilnError(f"{folder / 'inference_params.json'}: expected arguments of a call, or a list of such")
    if not isinstance(answers, list) or len(answers) != len(modes):
        raise ModelkilnError(f"{folder / 'predictions.json'}: expected answers for each of {len(modes)} modes")
    return Registered([storable(text) for text in inputs], tuple(modes), tuple(answers))


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
