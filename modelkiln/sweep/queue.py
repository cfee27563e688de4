"""The engine that needs no other: DVC's own queue, on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from modelkiln import env
from modelkiln.errors import ModelkilnError
from modelkiln.progress import say, track
from modelkiln.sweep import shell
from modelkiln.sweep.cells import Cell

SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_UNTIL_DOUBT = 60.0  # without a cell that ends: are there workers at all?
RESTARTS = 3


def run(cells: Sequence[Cell], workers: int) -> None:
    """Queues the cells, and returns when each of them has an experiment or has failed.

    It is the queue that `dvc queue status` shows; where this is interrupted, the queue goes on.

    Args:
        cells: None of them has an experiment yet. One that waits in the queue already is not queued again.
        workers: Cells at a time. Two at a time disturb each other's measurements of speed.

    Raises:
        ModelkilnError: DVC does not take a cell, or its workers end without doing anything.
    """
    commit = shell.commit()
    waiting = _pending(commit)
    new = [cell for cell in cells if cell.name not in waiting]
    _forget_failures({cell.name for cell in new}, commit)
    with env.embedded_registry():
        for cell in track(new, "cells queued", len(new)):
            shell.dvc("exp", "run", "--queue", *cell.arguments)
        try:
            names = {cell.name for cell in cells}
            for _ in track(_ended(names, commit, workers), "cells run", len(names)):
                pass
        except KeyboardInterrupt:
            say("the cells go on: `dvc queue status` shows them, `dvc queue stop --kill` ends them")
            raise


def _ended(names: set[str], commit: str, workers: int) -> Iterator[None]:
    """Yields for each cell that has ended."""
    left = len(names)
    restarts = 0
    shell.dvc("queue", "start", "--jobs", str(workers))
    looked = time.monotonic()
    while left:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        pending = names & _pending(commit)
        if left > len(pending):
            yield from [None] * (left - len(pending))
            left, looked = len(pending), time.monotonic()
        elif time.monotonic() - looked > SECONDS_UNTIL_DOUBT and not _has_workers():
            restarts += 1
            if restarts > RESTARTS:
                raise ModelkilnError(f"DVC's workers end before they have run {left} cells: see `dvc queue status`")
            say("no worker is left: starting another")
            _give_up_running(names, commit)
            shell.dvc("queue", "start", "--jobs", str(workers))
            looked = time.monotonic()


def _pending(commit: str) -> set[str]:
    """The names of the experiments on a commit that wait or run."""
    from dvc.repo import Repo

    with Repo() as repo:
        queue = repo.experiments.celery_queue
        return _names([*queue.iter_queued(), *queue.iter_active()], commit)


def _forget_failures(names: set[str], commit: str) -> None:
    """Of a cell that is tried again the queue shows only what comes of that."""
    from dvc.repo import Repo

    with Repo() as repo:
        failed = [done.entry for done in repo.experiments.celery_queue.iter_failed()]
    tasks = [entry.stash_rev for entry in failed if entry.name in names and entry.baseline_rev == commit]
    if tasks:
        shell.dvc("queue", "remove", *tasks)


def _has_workers() -> bool:
    from dvc.repo import Repo

    with Repo() as repo:
        return bool(repo.experiments.celery_queue.worker_status())


def _give_up_running(names: set[str], commit: str) -> None:
    """What a worker that is gone was running counts as failed: DVC would call it running for ever."""
    from dvc.repo import Repo

    with Repo() as repo:
        lost = names & _names(repo.experiments.celery_queue.iter_active(), commit)
    if lost:
        shell.dvc("queue", "kill", *sorted(lost))


def _names(entries: Iterable[object], commit: str) -> set[str]:
    return {str(getattr(entry, "name", "")) for entry in entries if getattr(entry, "baseline_rev", "") == commit}
