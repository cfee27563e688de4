"""Progress: a bar on a terminal, plain lines elsewhere; always on stderr, so that stdout stays the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0  # where there is no terminal


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


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    # Unless told not to, rich takes over stdout too, and the answers would be drawn on the terminal.
    return Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
