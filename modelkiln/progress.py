"""Progress: a bar on a terminal, plain lines elsewhere; always on stderr, so that stdout stays the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0  # where there is no terminal


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is being done, and how long it took."""
    started = time.perf_counter()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(what):
            yield
    else:
        say(f"{what} …")
        yield
    say(f"{what}: {time.perf_counter() - started:.1f} s")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items, and shows how many have been dealt with."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, what, total, console=Console(stderr=True), transient=True)
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
