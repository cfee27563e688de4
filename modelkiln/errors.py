"""The one class of error that a user can fix; every other exception is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Sequence


class ModelkilnError(Exception):
    """Something the user can put right: says where, what was found, what was expected, and what to do."""


def one_line(said: object) -> str:
    """What an error, or a report of one, says, on one line; its class where it says nothing."""
    return " ".join(str(said).split()) or type(said).__name__


def raise_all(title: str, mistakes: Sequence[str]) -> None:
    """Raises one ModelkilnError that lists every mistake; returns when there is none."""
    if len(mistakes) == 1:
        raise ModelkilnError(f"{title}: {mistakes[0]}")
    if mistakes:
        raise ModelkilnError(f"{title}: {len(mistakes)} mistakes:\n" + "\n".join(f"  - {m}" for m in mistakes))
