"""The leaderboard as one self-contained page, made of what people have named, so nothing of it is trusted."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from modelkiln.report import words
from modelkiln.sweep.experiments import FAILED, PASSED, REFUSED
from modelkiln.sweep.leaderboard import COLUMNS, Leaderboard
from modelkiln.sweep.plot import plot

TEMPLATES = Path(__file__).parent
REPORT = TEMPLATES.parent / "report"  # the look, and the axes of the plots, are the report's
MARKS = {PASSED: "✓", REFUSED: "✗", FAILED: "✗"}


def render(board: Leaderboard, commit: str) -> str:
    """The page; the same for the same leaderboard.

    Args:
        board: The results, judged.
        commit: Whose experiments they are.
    """
    from markupsafe import Markup

    style = "".join(file.read_text(encoding="utf-8") for file in (REPORT / "style.css", TEMPLATES / "style.css"))
    states = [row.result.state for row in board.rows]
    page: str = _template().render(
        style=Markup(style),  # noqa: S704 (our own files)
        board=board,
        commit=commit,
        columns=COLUMNS,
        marks=MARKS,
        plot=plot(board),
        tally=[(state, str(states.count(state))) for state in dict.fromkeys(states)],
        number=words.number,
        nothing=words.NOTHING,
        plural=words.plural,
        shorten=words.shorten,
    )
    return page


@functools.cache
def _template() -> Any:
    """Whatever is put into it is escaped, and what can't be seen is spelled out; as in the report."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, REPORT]),
        autoescape=True,
        finalize=lambda value: words.legible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("leaderboard.html")
