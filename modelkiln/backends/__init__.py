"""Backends: what turns the encoder's module into a compiled graph, and runs that graph. One file each.

A backend is written against torch 1.13 and Python 3.9, since a worker process runs it, whose interpreter may have to be
older than the pipeline's (docs/decisions/0002-worker.md). It imports its heavy libraries inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from modelkiln import plugins, schema
from modelkiln.artifact import Manifest
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.machine import Machine

# The inputs of one call, int64 numpy arrays as layouts.AXES names and shapes them, to float32 vectors (n, dimension).
# (Any, because numpy's own types would tie this file to one numpy.)
Run = Callable[..., Any]


class Backend(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: what conf/backend/<name>.yaml may put under `options`
    LIBRARIES: tuple[str, ...]  # distributions whose versions the compiled graph depends on
    RUNTIME: tuple[str, ...]  # the heavy modules that serving imports; the checks hold it to them
    PRECISIONS: tuple[str, ...]  # what `precision` may be
    # Those of them in which a vector depends on what else is in the batch, so that no table or cache may keep it.
    BATCH_DEPENDENT: tuple[str, ...]
    # Whether compiling again gives the same bytes, in any process and on any processor: so the checks do it, and hold
    # the graph to what they get.
    REPEATABLE: bool
    # Says of its options why they can't run here, for want of a device; None: it needs no other than the processor.
    DEVICE: Callable[[Any], str | None] | None
    MACHINE: Machine | None  # what a graph needs of the machine where it is machine code; None: it runs anywhere
    LAYOUT: str  # of its graphs' inputs (layouts.py): "packed", where the model allows it, or always "padded"
    GRAPH: str  # the file name of a graph, which some formats write into the graph

    def compile_graph(self, module: Any, example: tuple[Any, ...], path: Path, options: Any, precision: str) -> None:
        """Compiles a torch module of the inputs that layouts.AXES[module.layout] names into the file `path`.

        Args:
            module: In evaluation mode, pooling and normalisation inside; gives (vectors,). Its attribute max_length
                says how many tokens the longest text will have, for graphs of static shapes.
            example: Its inputs, int64 tensors, of real texts of different lengths.
            path: Where the graph goes; its folder exists, and is empty. Other files may lie beside it.
            options: An instance of this backend's Options.
            precision: One of PRECISIONS.

        Raises:
            ModelkilnError: this machine can't compile that; says what is missing.
        """

    def load_graph(self, path: Path, options: Any, precision: str, threads: int | None = None) -> Run:
        """The graph in `path`, ready to run; from any number of threads at once.

        Args:
            path: The graph.
            options: An instance of this backend's Options.
            precision: What it was compiled in.
            threads: To run one call on; None: the library's own choice, as a rule all cores.

        Raises:
            ModelkilnError: the graph can't run on this machine; says what is missing.
        """

    def refers_to(self, path: Path) -> list[str]:
        """The names of the files beside the graph in `path` that it reads, such as weights; no library is needed.

        Raises:
            ModelkilnError: the graph is damaged.
        """

    def strangers(self, path: Path, options: Any) -> list[str]:
        """What the graph in `path`, and the files beside it, hold that it has no use for; a line each.

        That is what no comparison of vectors sees: other data, weights that nothing reads, another version of the
        format than the options ask for. As far as it can be told without the library that made it.

        Raises:
            ModelkilnError: the graph is damaged.
        """


def require_whole(folder: Path, manifest: Manifest) -> None:
    """Sees to it that the artifact holds whatever its graphs read.

    Args:
        folder: The artifact.
        manifest: Its manifest, which verify() has held to the files.

    Raises:
        ModelkilnError: a graph is damaged, or refers to files that the manifest does not list beside it; names each.
    """
    lacking = []
    for graph in sorted({spec.graph for spec in manifest.encoders.values()}):
        place = PurePosixPath(graph).parent
        # Nothing but the name of a file beside it will do: no other path is in the graph's digest.
        beside = {PurePosixPath(name).name for name in manifest.files if PurePosixPath(name).parent == place}
        lacking += [
            f"{name!r} ({graph})" for name in load(manifest.backend).refers_to(folder / graph) if name not in beside
        ]
    if lacking:
        raise ModelkilnError(
            f"{folder}: refused, its graphs read files that are not beside them in the manifest: {', '.join(lacking)}; "
            "compile it again"
        )


def lacks_device(manifest: Manifest) -> str | None:
    """Why the graphs of an artifact can't run on this machine, for want of a device; None: they can."""
    backend = load(manifest.backend)
    return backend.DEVICE(options_of(manifest)) if backend.DEVICE else None


def options_of(manifest: Manifest) -> Any:
    """What the artifact's backend was given: an instance of its Options.

    Raises:
        ModelkilnError: it knows no such option, value or precision.
    """
    backend = load(manifest.backend)
    mistakes: list[str] = []
    options = schema.parse(backend.Options, manifest.options, "options", mistakes)
    if manifest.precision not in backend.PRECISIONS:
        mistakes.append(f"precision {manifest.precision!r}, expected one of {', '.join(backend.PRECISIONS)}")
    raise_all(f"the artifact's manifest is none of backend {manifest.backend!r}", mistakes)
    return options


def load(name: str) -> Backend:
    """The backend of that name; a ModelkilnError lists the known ones."""
    return cast(Backend, plugins.load("backends", name))
