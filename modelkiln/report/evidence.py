"""What the report is made from, read without trust: rows of the wrong form are left out and counted, and said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelkiln.artifact import read_manifest
from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json
from modelkiln.sources import REVISION
from modelkiln.verdict import VERDICT, Verdict, read_verdict

Row = Mapping[str, Any]
LARGEST = 1e100  # fp32 ends at 3e38; with what is larger, the arithmetic of an axis would not be finite


@dataclass(frozen=True)
class Evidence:
    """All that there is to show of one judgement."""

    verdict: Verdict
    predictions: dict[str, Any]
    latency: dict[str, Any]
    documents: list[Row]
    lengths: list[Row]
    scores: list[Row]
    worst: list[Row]
    quality: list[Row]
    manifest: dict[str, Any]  # {} where it can't be read
    revision: dict[str, Any]  # likewise
    notes: list[str] = field(default_factory=list)  # what could not be read, one line each


def read_evidence(folder: Path, artifact: Path, source: Path) -> Evidence:
    """What the reports folder, the artifact and the source say; never raises, whatever they hold. See write_report."""
    notes: list[str] = []
    rows = {
        name: _rows(folder / "evidence" / f"{name}.json", form, notes)
        for name, form in (
            ("documents", DOCUMENT),
            ("lengths", {"encoder": _text, "tokens": _whole, "cosine": _number, "difference": _number}),
            ("scores", {"mode": _whole, "difference": _number}),
            ("worst", {**DOCUMENT, "text": _text, "expected": _keywords, "actual": _keywords}),
            ("quality", QUALITY),
        )
    }
    predictions = _mapping(folder / "predictions.json", "the predictions", notes)
    latency = _mapping(folder / "latency.json", "the profile", notes)
    manifest = _manifest(artifact, notes)
    revision = _mapping(source / REVISION, "the source's revision", notes)
    verdict = _verdict(folder / VERDICT)
    # The reports are made in a folder that is renamed when all are there: its name would mislead.
    verdict = replace(verdict, error=verdict.error.replace(f"{folder}/", ""))
    notes = [note.replace(f"{folder}/", "") for note in notes]
    return Evidence(verdict, predictions, latency, **rows, manifest=manifest, revision=revision, notes=notes)


def finite(value: object) -> float | None:
    """The number, or None for whatever is none, or is beyond what anything measured can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST < value < LARGEST else None


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping, or an empty one for whatever is none."""
    return value if isinstance(value, Mapping) else {}


def _verdict(path: Path) -> Verdict:
    """The verdict; a negative one that says why, where there is none to be read."""
    try:
        return read_verdict(path)
    except (ModelkilnError, RecursionError, OverflowError) as error:
        said = str(error) if isinstance(error, ModelkilnError) else f"{path}: {error}"
        return Verdict(False, "", error=f"there is no verdict that could be read: {said}")


def _manifest(artifact: Path, notes: list[str]) -> dict[str, Any]:
    """The manifest's JSON where it is sound, and what is wrong with it where it is not."""
    try:
        read_manifest(artifact)
        found: dict[str, Any] = read_json(artifact / "manifest.json", "the manifest")
        return found
    except (ModelkilnError, RecursionError, OverflowError) as error:
        notes.append(f"The artifact's manifest: {error}")
        return {}


def _mapping(path: Path, what: str, notes: list[str]) -> dict[str, Any]:
    found = _json(path, what, notes)
    if found is not None and not isinstance(found, dict):
        notes.append(f"{path}: {what} should be an object, found {type(found).__name__}")
    return found if isinstance(found, dict) else {}


def _rows(path: Path, form: Mapping[str, Callable[[Any], bool]], notes: list[str]) -> list[Row]:
    """The rows of a file that have the form, and a note on those that have not."""
    found = _json(path, "the evidence", notes)
    if found is None:
        return []
    if not isinstance(found, list):
        notes.append(f"{path}: expected a list of rows, found {type(found).__name__}")
        return []
    sound: list[Row] = [row for row in found if isinstance(row, dict) and _has(row, form)]
    if len(sound) < len(found):
        notes.append(f"{path}: {len(found) - len(sound)} of {len(found)} rows are damaged and are not shown")
    return sound


def _json(path: Path, what: str, notes: list[str]) -> Any:
    try:
        return read_json(path, what)
    except (ModelkilnError, RecursionError) as error:
        notes.append(str(error) if isinstance(error, ModelkilnError) else f"{path}: {what} is nested too deeply")
        return None


def _has(row: Row, form: Mapping[str, Callable[[Any], bool]]) -> bool:
    return all(name in row and is_one(row[name]) for name, is_one in form.items())


def _text(value: object) -> bool:
    return isinstance(value, str)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _number(value: object) -> bool:
    """None stands for what is not finite: JSON has no NaN."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _keywords(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, Sequence) and len(pair) == 2 and _text(pair[0]) and _number(pair[1]) for pair in value
    )


def _scores(value: object) -> bool:
    return isinstance(value, dict) and _has(value, {"precision": _number, "recall": _number, "f1": _number})


DOCUMENT = {
    "id": _text,
    "set": _text,
    "mode": _whole,
    "agreement": _number,
    "overlap": _number,
    "rbo": _number,
    "score_difference": _number,
}
QUALITY = {
    "n": _whole,
    "uncompiled": _scores,
    "compiled": _scores,
    "f1_loss": _number,
    "low": _number,
    "high": _number,
}
