"""Progress: a bar on a terminal, plain lines elsewhere; always on stderr, so that stdout stays the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from modelkiln.errors import plain

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0  # where there is no terminal
QUIET_SECONDS = 2.0  # what takes no longer is not worth a word


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is being done, and how long it took."""
    started = time.perf_counter()
    if sys.stderr.isatty():
        with _bar() as bar:
            bar.add_task(what, total=None)
            yield
    else:
        say(f"{what} …")
        yield
    say(f"{what}: {time.perf_counter() - started:.1f} s")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items, and shows how many have been dealt with."""
    if sys.stderr.isatty():
        with _bar() as bar:
            yield from bar.track(items, total, description=what)
        return
    last = time.perf_counter()
    for done, item in enumerate(items):
        if time.perf_counter() - last > SECONDS_BETWEEN_LINES:
            last = time.perf_counter()
            say(f"{what}: {done} of {total or 'some'} done")
        yield item


def count(items: Iterable[T], what: str, total: int | None = None, start: int = 0) -> Iterator[T]:
    """Yields the items, and shows how many have been dealt with, of how many, and how many in a second.

    Args:
        items: Any number.
        what: What is counted: "documents".
        total: How many there will have been, `start` included; None: nobody knows.
        start: How many were dealt with before.
    """
    began = last = time.perf_counter()
    due = began + QUIET_SECONDS
    done = start
    with ExitStack() as stack:
        bar = None
        for item in items:
            # Items may come in bursts: what is shown is true of the moment when the last one was dealt with.
            if due < time.perf_counter() and done > start and not sys.stderr.isatty():
                due = time.perf_counter() + SECONDS_BETWEEN_LINES
                say(_counted(what, done, total, (done - start) / (last - began)))
            yield item
            done += 1
            last = time.perf_counter()
            if due < last and sys.stderr.isatty():
                bar = bar or stack.enter_context(_bar())
                task = bar.task_ids[0] if bar.task_ids else bar.add_task(what, total=total)
                said = _counted(what, done, total, (done - start) / (last - began))
                bar.update(task, completed=done, description=said)
    if last - began > QUIET_SECONDS:
        say(f"{_counted(what, done, total, (done - start) / (last - began))}, {last - began:,.1f} s")


def say(line: str) -> None:
    """One line on stderr."""
    print(plain(line), file=sys.stderr, flush=True)


def _counted(what: str, done: int, total: int | None, rate: float) -> str:
    return f"{what}: {done:,}{f' of {total:,}' if total else ''} done, {rate:,.1f} a second"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    # Unless told not to, rich takes over stdout too, and the answers would be drawn on the terminal.
    return Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
