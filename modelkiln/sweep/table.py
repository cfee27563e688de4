"""The leaderboard on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelkiln.report.words import NOTHING, legible, number
from modelkiln.sweep.leaderboard import COLUMNS, Leaderboard

PAPER = 200  # columns, where the output is no terminal: nothing is to be wrapped
FRONT = "*"


def show(board: Leaderboard) -> None:
    """Prints the table, why each cell but the best is not the best, the rule, and the best."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PAPER)
    console.print(_table(board))
    console.print(Text(f"{FRONT} on the Pareto front: no other is both as fast and as good, and better in one"))
    for row in board.rows:
        if row.lost:
            console.print(Text(legible(f"  {row.result.name}: {row.lost}")), soft_wrap=True)
    console.print(Text(f"the rule: {board.rule}"), soft_wrap=True)
    if board.best:
        console.print(Text(legible(f"the best: {board.best.name}    {board.best.command}")), soft_wrap=True)


def _table(board: Leaderboard) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for head in COLUMNS.values():
        table.add_column(head, justify="right", no_wrap=True)
    for row in board.rows:
        figures = row.result.figures
        shown = [number(figures[name]) if name in figures else NOTHING for name in COLUMNS]
        mark = f" {FRONT}" if row.in_front else ""
        texts = [f"{row.result.name}{mark}", row.result.state, *shown]
        table.add_row(*(Text(legible(text)) for text in texts), style="" if row.lost else "bold")
    return table
