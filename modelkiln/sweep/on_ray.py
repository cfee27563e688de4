"""The engine for more than one machine: Ray hands out the cells, each an attempt in a clone on a node that has room.

What is done is known by git: a cell that has an experiment on the commit is not run again, whoever asks. What went
wrong is known by the table of attempts. Ray itself keeps nothing that is missed when it is gone.
"""

from __future__ import annotations

import datetime
import math
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import env
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import say, step, track
from modelkiln.sweep import attempt, attempts
from modelkiln.sweep.attempt import Job
from modelkiln.sweep.attempts import DONE, FAILED, LOST, Attempt
from modelkiln.sweep.cells import Cell

Needs = Mapping[str, float]  # {resource: how much of it}
# What a node has to have for a cell of a backend. Ray finds `neuron_cores` itself on Inf2, Trn1 and Trn2; a node with
# the first generation says so: ray start --resources '{"inf1": 1}'
PLACES: Mapping[str, Needs] = {"neuron": {"inf1": 1.0}, "neuronx": {"neuron_cores": 1.0}}
SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True)
class Cluster:
    """Where the cells run."""

    address: str | None = None  # of a Ray that is running, as `auto` or HOST:PORT; None: one is started here
    workers: int | None = None  # cells at a time, at the most; None: as many as there is room for
    cpus: float = 1.0  # that a cell takes, and the threads that it is measured with
    places: Mapping[str, Needs] = field(default_factory=lambda: PLACES)  # what a cell of a backend takes besides

    def needs(self, backend: str) -> dict[str, float]:
        """What a node has to have to run a cell of a backend."""
        return {"CPU": self.cpus, **self.places.get(backend, {})}


@dataclass(frozen=True)
class Work:
    """What is to be done, whichever way the cells are handed out."""

    repository: str  # see attempt.Job, as the next three
    commit: str
    cache: str
    remote: str
    minutes: float | None = None
    retries: int = 0  # further attempts at a cell that has failed; one that was lost is not counted
    table: Path = attempts.TABLE


def run(cells: Sequence[Cell], backends: Mapping[str, str], work: Work, cluster: Cluster) -> list[Attempt]:
    """Runs the cells that have no experiment yet, and writes each attempt down when it ends.

    Args:
        cells: The cells.
        backends: {option of conf/backend: the backend that it chooses}, which decides where a cell may run.
        work: How a cell is run.
        cluster: Where.

    Returns:
        The last attempt at each cell that was run.

    Raises:
        ModelkilnError: Ray is not installed or not to be reached, or git can't list the experiments.
    """
    there = attempt.experiments_at(work.repository, work.commit)
    due = attempts.left_to_do(cells, there)
    say(f"{len(cells) - len(due)} of {len(cells)} cells have an experiment on {work.commit[:12]} already")
    if not due:
        return []
    needs = {cell: cluster.needs(backends[cell.backend]) for cell in due}
    with env.embedded_registry(), _connected(cluster) as ray:
        return list(track(_ended(ray, needs, work, cluster.workers or len(due)), "cells run", len(due)))


def _ended(ray: Any, needs: Mapping[Cell, Needs], work: Work, at_once: int) -> Iterator[Attempt]:
    """Yields the last attempt at each cell, when it has ended."""
    waiting = deque((cell, list[Attempt]()) for cell in needs)
    running: dict[Any, tuple[Cell, list[Attempt]]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            cell, made = waiting.popleft()
            if lacking := _lacking(ray, needs[cell]):
                yield _write(work, cell, made, FAILED, lacking)
            else:
                running[_submit(ray, cell, needs[cell], work)] = (cell, made)
        ended, pending = ray.wait(list(running), timeout=SECONDS_BETWEEN_LOOKS) if running else ([], [])
        for reference in ended:
            cell, made = running.pop(reference)
            last = _write(work, cell, made, *_outcome(ray, reference))
            if attempts.is_due(made, work.retries):
                waiting.append((cell, made))
            else:
                yield last
        for reference in [] if ended else pending:
            cell, made = running[reference]
            if lacking := _lacking(ray, needs[cell]):  # the last node of its kind is gone
                ray.cancel(reference)
                del running[reference]
                yield _write(work, cell, made, FAILED, lacking)


def _submit(ray: Any, cell: Cell, needs: Needs, work: Work) -> Any:
    others = {name: amount for name, amount in needs.items() if name != "CPU"}
    # Ray's own retries would leave no line in the table.
    placed = ray.remote(_on_a_node).options(
        name=cell.name, num_cpus=needs["CPU"], resources=others, max_retries=0, scheduling_strategy="SPREAD"
    )
    job = Job(cell.name, cell.arguments, work.repository, work.commit, work.cache, work.remote, work.minutes)
    return placed.remote(asdict(job))


def _outcome(ray: Any, reference: Any) -> tuple[str, str, str, dict[str, float]]:
    """Outcome, reason, node and seconds of an attempt that has ended."""
    try:
        found = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # ours: the node has another modelkiln, or no room on its disk
        return FAILED, one_line(error.cause or error), "", {}
    except ray.exceptions.RayError as error:
        return LOST, f"the worker was lost: {type(error).__name__}: {one_line(error)[:200]}", "", {}
    return FAILED if found["reason"] else DONE, found["reason"], found["node"], found["seconds"]


def _lacking(ray: Any, needs: Needs) -> str:
    """What no node has that a cell needs; empty: one has all of it."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        return ""
    said = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
    return f"no node of the cluster has {said}: `ray start --address … --resources …` on one that has"


def _write(
    work: Work,
    cell: Cell,
    made: list[Attempt],
    outcome: str,
    reason: str,
    node: str = "",
    seconds: Mapping[str, float] | None = None,
) -> Attempt:
    """Adds the attempt to the cell's own, and to the table."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    number = len(made) + 1
    found = Attempt(cell.name, work.commit, number, outcome, reason, cell.arguments, node, dict(seconds or {}), now)
    made.append(found)
    attempts.append(work.table, found)
    return found


def _on_a_node(job: dict[str, Any]) -> dict[str, Any]:
    """What Ray runs, where it likes."""
    import ray

    node = f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}"
    return {**asdict(attempt.start(Job(**job))), "node": node}


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    env.keep_ray_quiet()
    try:
        import ray
    except ImportError as error:
        raise ModelkilnError(f"--engine ray needs Ray ({error}): pip install 'modelkiln[sweep]'") from error

    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
    if cluster.address is None:
        room = None if cluster.workers is None else math.ceil(cluster.workers * cluster.cpus)
        settings |= {"address": "local", "num_cpus": room, "include_dashboard": False}
    else:
        settings |= {"address": cluster.address}
    try:
        with step("connecting to Ray" if cluster.address else "starting Ray"):
            ray.init(**settings)
    except Exception as error:  # of every class, with Exception itself among them
        raise ModelkilnError(
            f"Ray can't be {'reached' if cluster.address else 'started'}: {one_line(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
