"""Faults that lie in no file: a pytest plug-in that makes what serves the graph go wrong. Nothing else can load it.

    pytest -p modelkiln.proof.runtime --proof-fault race --pyargs modelkiln.checks …

It wraps what every backend's load_graph gives in the checks' own process. A process that a check starts runs without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelkiln import backends
from modelkiln.backends import Backend, Run
from modelkiln.proof.fault import Fault, copy_good

MOMENT = 0.002  # seconds between writing into a shared buffer and reading from it
LEAK = 0.01
PREFIX = 6  # tokens by which the confused cache knows a text
DRIFT = 3e-5  # in a component: less than what a compiled vector may differ by, more than what two calls may


def pytest_addoption(parser: pytest.Parser) -> None:
    """What goes wrong, and on how many threads a graph runs."""
    parser.addoption("--proof-fault", choices=sorted(RUNS), help="what goes wrong when a graph runs")
    parser.addoption("--proof-threads", type=int, help="to run one call of a graph on")


def pytest_configure(config: pytest.Config) -> None:
    """Has every graph loaded with the fault, until the end of the run."""
    fault, threads = config.getoption("--proof-fault"), config.getoption("--proof-threads")
    load = backends.load

    def load_wrapped(name: str) -> Backend:
        return _Wrapped(load(name), RUNS.get(fault, lambda run: run), threads)

    backends.load = load_wrapped
    config.add_cleanup(lambda: setattr(backends, "load", load))


class _Wrapped:
    """A backend whose graphs run otherwise."""

    def __init__(self, backend: Backend, wrap: Callable[[Run], Run], threads: int | None) -> None:
        self._backend = backend
        self._wrap = wrap
        self._threads = threads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def load_graph(self, path: Path, options: Any, precision: str, threads: int | None = None) -> Run:
        return self._wrap(self._backend.load_graph(path, options, precision, threads or self._threads))


def _race(run: Run) -> Run:
    """All calls put their inputs into one place, and take them from there."""
    shared: dict[str, Any] = {}

    def wrapped(*inputs: Any) -> Any:
        shared["inputs"] = inputs
        time.sleep(MOMENT)
        vectors = run(*shared["inputs"])
        return vectors if len(vectors) >= _texts(inputs) else np.resize(vectors, (_texts(inputs), vectors.shape[1]))

    return wrapped


def _remember(run: Run) -> Run:
    """Each call's vectors have a little of the last call's in them."""
    lock = threading.Lock()
    before: dict[str, Any] = {"vector": 0.0}

    def wrapped(*inputs: Any) -> Any:
        with lock:
            vectors = run(*inputs)
            vectors, before["vector"] = vectors + LEAK * before["vector"], vectors[0].copy()
        return vectors

    return wrapped


def _confuse(run: Run) -> Run:
    """A cache that knows a text by its first tokens."""
    known: dict[tuple[int, ...], Any] = {}

    def wrapped(*inputs: Any) -> Any:
        vectors = np.array(run(*inputs))
        for index, row in enumerate(_rows(inputs)):
            vectors[index] = known.setdefault(tuple(row[:PREFIX]), vectors[index].copy())
        return vectors

    return wrapped


def _drift(run: Run) -> Run:
    """Every vector is off by the same, here; a process that a check starts has none of it."""

    def wrapped(*inputs: Any) -> Any:
        vectors = run(*inputs)
        drift = np.full(vectors.shape[1], DRIFT, dtype=vectors.dtype)
        drift[::2] *= -1
        return vectors + drift

    return wrapped


def _texts(inputs: tuple[Any, ...]) -> int:
    return len(inputs[0]) + (len(inputs[3]) if len(inputs) == 5 else 0)


def _rows(inputs: tuple[Any, ...]) -> list[list[int]]:
    """The token ids of each text of a call, of either layout."""
    if len(inputs) == 2:
        ids, mask = inputs
        return [row[real == 1].tolist() for row, real in zip(ids, mask, strict=True)]
    long_ids, short_ids, _, gather, _ = inputs
    return [*long_ids.tolist(), *(short_ids[places[places >= 0]].tolist() for places in gather)]


RUNS: dict[str, Callable[[Run], Run]] = {"race": _race, "remember": _remember, "confuse": _confuse, "drift": _drift}


def arguments(fault: str | None = None, threads: int | None = None) -> tuple[str, ...]:
    """What pytest has to be told."""
    chosen = {"--proof-fault": fault, "--proof-threads": threads}
    options = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    return ("-p", __name__, *options)


FAULTS = (
    Fault("race", "calls in two threads share one buffer", ("invariance",), copy_good, arguments=arguments("race")),
    Fault(
        "call-before",
        "1% of the call before in each vector",
        ("invariance", "vectors"),
        copy_good,
        arguments=arguments("remember"),
    ),
    Fault(
        "cache-confused",
        f"a cache that knows a text by its first {PREFIX} tokens",
        ("vectors", "invariance"),
        copy_good,
        arguments=arguments("confuse"),
    ),
    Fault(
        "other-process",
        f"vectors that differ by {DRIFT:g} from one process to another",
        ("serving",),
        copy_good,
        arguments=arguments("drift"),
    ),
)
