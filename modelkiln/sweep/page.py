"""The leaderboard as one self-contained page, made of what people have named, so nothing of it is trusted."""

from __future__ import annotations

from pathlib import Path

from modelkiln.report import words
from modelkiln.report.template import fill
from modelkiln.sweep.experiments import FAILED, PASSED, REFUSED
from modelkiln.sweep.leaderboard import COLUMNS, Leaderboard
from modelkiln.sweep.plot import plot

TEMPLATE = Path(__file__).with_name("leaderboard.html")  # the look, and the axes of the plots, are the report's
MARKS = {PASSED: "✓", REFUSED: "✗", FAILED: "✗"}


def render(board: Leaderboard, commit: str) -> str:
    """The page; the same for the same leaderboard.

    Args:
        board: The results, judged.
        commit: Whose experiments they are.
    """
    states = [row.result.state for row in board.rows]
    values = {
        "board": board,
        "commit": commit,
        "columns": COLUMNS,
        "marks": MARKS,
        "plot": plot(board),
        "tally": [(state, str(states.count(state))) for state in dict.fromkeys(states)],
        "number": words.number,
        "nothing": words.NOTHING,
        "plural": words.plural,
        "shorten": words.shorten,
    }
    return fill(TEMPLATE, values)
