"""The engine's own table: a line of JSON for each attempt at a cell, and what follows from them.

DVC keeps nothing of an experiment that has failed on another machine, so this does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelkiln.errors import ModelkilnError
from modelkiln.sweep.cells import Cell

TABLE = Path("reports/sweep/attempts.jsonl")
DONE = "done"  # there is an experiment
FAILED = "failed"  # a stage did
LOST = "lost"  # the worker died, or its machine
FORGIVEN = 3  # attempts at one cell that may be lost: a cell may be what kills its workers


@dataclass(frozen=True)
class Attempt:
    """One attempt at one cell."""

    cell: str  # the experiment's name
    commit: str  # that it was run on
    number: int  # from 1, in this run of the engine
    outcome: str  # done, failed or lost
    reason: str = ""  # on one line
    arguments: list[str] = field(default_factory=list)  # of the `dvc exp run` that it was
    node: str = ""  # the machine
    seconds: dict[str, float] = field(default_factory=dict)  # {step: how long it took}
    ended: str = ""  # when, UTC


def is_due(attempts: Sequence[Attempt], retries: int) -> bool:
    """Whether a cell is to be tried again, after these attempts at it in one run of the engine."""
    outcomes = [attempt.outcome for attempt in attempts]
    if DONE in outcomes:
        return False
    return outcomes.count(FAILED) <= retries and outcomes.count(LOST) <= FORGIVEN


def left_to_do(cells: Iterable[Cell], there: Iterable[str]) -> list[Cell]:
    """The cells that have no experiment yet; one that has failed in an earlier run of the engine is among them."""
    known = set(there)
    return [cell for cell in cells if cell.name not in known]


def append(path: Path, attempt: Attempt) -> None:
    """Writes a line, to the disk; what a crash left of the last one goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        whole = file.read().rpartition(b"\n")
        file.truncate(len(whole[0]) + len(whole[1]))
        file.write(json.dumps(asdict(attempt), sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Attempt]:
    """The attempts in a table, the oldest first; none where there is no table.

    Raises:
        ModelkilnError: a line is damaged; but the last one, where a crash left no whole one.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_parse(line, path, number) for number, line in enumerate(lines, 1)]


def last(attempts: Iterable[Attempt]) -> dict[str, tuple[Attempt, int]]:
    """{cell: its latest attempt, and how many there were}."""
    found: dict[str, tuple[Attempt, int]] = {}
    for attempt in attempts:
        found[attempt.cell] = (attempt, found[attempt.cell][1] + 1 if attempt.cell in found else 1)
    return found


def _parse(line: bytes, path: Path, number: int) -> Attempt:
    try:
        return Attempt(**json.loads(line))
    except (TypeError, ValueError) as error:
        raise ModelkilnError(f"{path}, line {number}: no attempt ({error}); delete the line, or the file") from error
