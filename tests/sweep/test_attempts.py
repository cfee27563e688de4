"""The engine's table: what is written is what is read, whatever a crash has left, and what is to be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelkiln import ModelkilnError
from modelkiln.sweep import attempts
from modelkiln.sweep.attempts import DONE, FAILED, FORGIVEN, LOST, Attempt, is_due, left_to_do
from modelkiln.sweep.cells import Cell


def made(*outcomes: str, cell: str = "a") -> list[Attempt]:
    return [
        Attempt(cell, "c" * 40, number, outcome, f"because\n“{number}”", ["--name", cell], "node", {"run": 1.5}, "now")
        for number, outcome in enumerate(outcomes, 1)
    ]


@pytest.mark.parametrize(
    ("outcomes", "retries", "due"),
    [
        ([], 0, True),
        ([FAILED], 0, False),
        ([FAILED], 1, True),
        ([FAILED, FAILED], 1, False),
        ([DONE], 5, False),
        ([FAILED, DONE], 5, False),
        # What was lost is not the cell's fault, unless it happens again and again.
        ([LOST], 0, True),
        ([LOST, LOST, LOST], 0, True),
        ([LOST] * (FORGIVEN + 1), 0, False),
        ([LOST, FAILED], 0, False),
        ([LOST, FAILED], 1, True),
    ],
)
def test_retries_are_as_many_as_told(outcomes: list[str], retries: int, due: bool) -> None:
    assert is_due(made(*outcomes), retries) is due


def test_cell_that_has_an_experiment_is_not_run_again() -> None:
    cells = [Cell("m", "base", name) for name in ("a", "b", "c")]
    assert left_to_do(cells, {"m+base+b", "another"}) == [cells[0], cells[2]]
    assert left_to_do(cells, []) == cells


def test_what_is_written_is_read_a_line_for_each(tmp_path: Path) -> None:
    table = tmp_path / "folder" / "attempts.jsonl"
    assert attempts.read(table) == []
    for attempt in made(FAILED, LOST, DONE):
        attempts.append(table, attempt)
    assert attempts.read(table) == made(FAILED, LOST, DONE)
    assert len(table.read_text().splitlines()) == 3


def test_line_that_a_crash_cut_off_is_left_out_and_goes_with_the_next(tmp_path: Path) -> None:
    table = tmp_path / "attempts.jsonl"
    attempts.append(table, made(FAILED)[0])
    with table.open("a") as file:
        file.write('{"cell": "a", "comm')
    assert attempts.read(table) == made(FAILED)
    attempts.append(table, made(FAILED, DONE)[1])
    assert attempts.read(table) == made(FAILED, DONE)


@pytest.mark.parametrize("line", ["no JSON", '{"cell": "a"}', '{"unknown": 1}', "[]"])
def test_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    table = tmp_path / "attempts.jsonl"
    attempts.append(table, made(FAILED)[0])
    with table.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ModelkilnError, match=r"attempts\.jsonl, line 2: no attempt .*delete the line"):
        attempts.read(table)


def test_latest_attempt_stands_for_the_cell() -> None:
    tried = [*made(FAILED, FAILED), *made(DONE, cell="b"), *made(LOST)]
    assert attempts.last(tried) == {"a": (made(LOST)[0], 3), "b": (made(DONE, cell="b")[0], 1)}
