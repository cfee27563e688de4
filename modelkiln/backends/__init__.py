"""Backends: what turns the encoder's module into a compiled graph, and runs that graph. One file each.

A backend is written against torch 1.13 and Python 3.9, since a worker process runs it, whose interpreter may have to be
older than the pipeline's (docs/decisions/0002-worker.md). It imports its heavy libraries inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from modelkiln import plugins

# input_ids (n, t) int64 and attention_mask (n, t) int64, as numpy arrays, to vectors (n, dimension) float32.
# (Any, because numpy's own types would tie this file to one numpy; encoder.py states the shapes and checks them.)
Run = Callable[[Any, Any], Any]


class Backend(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: what conf/backend/<name>.yaml may put under `options`
    LIBRARIES: tuple[str, ...]  # distributions whose versions the compiled graph depends on
    PRECISIONS: tuple[str, ...]  # what `precision` may be
    GRAPH: str  # the file name of a graph, which some formats write into the graph

    def compile_graph(self, module: Any, example: tuple[Any, Any], path: Path, options: Any) -> None:
        """Compiles a torch module (input_ids, attention_mask) -> (vectors,) into the file `path`.

        Args:
            module: In evaluation mode, pooling and normalisation inside.
            example: Two int64 tensors of shape (n, t), of real tokens with mixed padding.
            path: Where the graph goes; its folder exists.
            options: An instance of this backend's Options.
        """

    def load_graph(self, path: Path, options: Any) -> Run:
        """The graph in `path`, ready to run; from any number of threads at once.

        Raises:
            ModelkilnError: the graph can't run on this machine; says what is missing.
        """


def load(name: str) -> Backend:
    """The backend of that name; a ModelkilnError lists the known ones."""
    return cast(Backend, plugins.load("backends", name))
