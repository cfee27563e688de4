"""Golden samples: the texts on which a compiled model has to give the uncompiled model's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from modelkiln.errors import ModelkilnError

SHIPPED = Path(__file__).parent / "checks" / "golden.jsonl"


@dataclass(frozen=True)
class Sample:
    """One text."""

    id: str
    text: str


def read_samples(path: Path | None = None) -> list[Sample]:
    """The samples of a JSONL file with `id` and `text` on each line; those that ship with modelkiln by default.

    Raises:
        ModelkilnError: the file is missing, empty, or malformed at a line, which the message names.
    """
    path = path or SHIPPED
    samples = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelkilnError(f"{path}: can't read the golden samples: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            sample = Sample(str(data["id"]), data["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelkilnError(f'{path}, line {number}: expected {{"id": …, "text": …}}: {error!r}') from error
        if not isinstance(sample.text, str) or not sample.text.strip():
            raise ModelkilnError(f"{path}, line {number}: `text` has to be text, and some")
        samples.append(sample)
    if not samples:
        raise ModelkilnError(f"{path}: no golden samples in it")
    return samples
