"""Backends: what turns the encoder's module into a compiled graph, and runs that graph. One file each.

A backend is written against torch 1.13 and Python 3.9, since a worker process runs it, whose interpreter may have to be
older than the pipeline's (docs/decisions/0002-worker.md). It imports its heavy libraries inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from modelkiln import plugins

# The inputs of one call, int64 numpy arrays as layouts.AXES names and shapes them, to float32 vectors (n, dimension).
# (Any, because numpy's own types would tie this file to one numpy.)
Run = Callable[..., Any]


class Backend(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: what conf/backend/<name>.yaml may put under `options`
    LIBRARIES: tuple[str, ...]  # distributions whose versions the compiled graph depends on
    PRECISIONS: tuple[str, ...]  # what `precision` may be
    LAYOUT: str  # of its graphs' inputs (layouts.py): "packed", where the model allows it, or always "padded"
    GRAPH: str  # the file name of a graph, which some formats write into the graph

    def compile_graph(self, module: Any, example: tuple[Any, ...], path: Path, options: Any) -> None:
        """Compiles a torch module of the inputs that layouts.AXES[module.layout] names into the file `path`.

        Args:
            module: In evaluation mode, pooling and normalisation inside; gives (vectors,).
            example: Its inputs, int64 tensors, of real texts of different lengths.
            path: Where the graph goes; its folder exists.
            options: An instance of this backend's Options.
        """

    def load_graph(self, path: Path, options: Any, threads: int | None = None) -> Run:
        """The graph in `path`, ready to run; from any number of threads at once.

        Args:
            path: The graph.
            options: An instance of this backend's Options.
            threads: To run one call on; None: the library's own choice, as a rule all cores.

        Raises:
            ModelkilnError: the graph can't run on this machine; says what is missing.
        """


def load(name: str) -> Backend:
    """The backend of that name; a ModelkilnError lists the known ones."""
    return cast(Backend, plugins.load("backends", name))
