"""What both generations of AWS Neuron share: finding the vendor's package, a graph for each length, loading them.

Both packages trace a module into a ScriptModule of one static shape; see buckets.py. Written from the vendor's
documentation: no device or package was to be had, and docs/neuron.md says what has not been seen on hardware.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from modelkiln import buckets, env
from modelkiln.buckets import Buckets
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import say, step

INDEX = "https://pip.repos.neuron.amazonaws.com"
DEV = Path("/dev")
GRAPH = "encoder.json"  # the index; the graphs lie beside it
OPERATOR = "neuron"  # the namespace of the operator that a graph for the device consists of
ADVICE = {  # by what a runtime says
    r"driver|nrt_init|NRT_INIT": "is the driver running (`neuron-ls`), and does its version go with the runtime's?",
    r"[Vv]ersion|NEFF": "the graph and the runtime may be of different releases: compile with the versions used here",
    r"Unknown builtin op": "the graph was made by another package than this backend's",
    r"allocat|memory|resource": "another process may hold the cores: see `neuron-top`, or set NEURON_RT_VISIBLE_CORES",
}


def package(name: str, install: str, simulated: bool) -> Any:
    """The vendor's package, or its simulator.

    The packages of these names on PyPI are empty stand-ins that raise when they are imported, so what counts is whether
    the imported module can trace.

    Args:
        name: torch_neuron or torch_neuronx.
        install: What pip has to be given, with the vendor's index, to install it.
        simulated: The simulator is wanted.

    Raises:
        ModelkilnError: it is not there; says where to get it.
    """
    if simulated:
        return importlib.import_module(f"modelkiln.neuron_sim.{name}")
    try:
        module = importlib.import_module(name)
        reason = "" if hasattr(module, "trace") else "what is installed under that name has no `trace`"
    except ImportError as error:
        module, reason = None, one_line(error)
    if module is None or reason:
        raise ModelkilnError(
            f"{name} is not installed ({reason}): pip install --extra-index-url {INDEX} {install}; "
            "PyPI's own package of that name is an empty stand-in. Without it: `options.simulated: true`"
        )
    return module


class Settings(Protocol):
    """What the options of both backends have."""

    @property
    def lengths(self) -> list[int]: ...
    @property
    def batch(self) -> int: ...
    @property
    def dynamic_batch(self) -> bool: ...
    @property
    def cores(self) -> int | None: ...
    @property
    def simulated(self) -> bool: ...


def compile_buckets(
    trace: Callable[[Any], Any], example: tuple[Any, Any], path: Path, max_length: int, options: Settings
) -> None:
    """Traces, saves and inspects a graph for each length, and writes their index at `path`.

    Args:
        trace: From inputs of a shape, a tuple of two int32 tensors, to the ScriptModule for it.
        example: See Backend.compile_graph.
        path: See Backend.compile_graph.
        max_length: Tokens of the longest text.
        options: Of the backend.

    Raises:
        ModelkilnError: tracing failed, or a graph does not hold the vendor's operator, so that it would run on the CPU.
    """
    import torch

    lengths = buckets.choose_lengths(options.lengths, max_length)
    ids, mask = example
    pad_id = int(ids[mask == 0][0])  # the example's texts are of several lengths
    shapes = Buckets(options.batch, lengths, pad_id, options.dynamic_batch)
    for length in lengths:
        place = buckets.graph_path(path, length)
        try:
            with warnings.catch_warnings(), step(f"compiling the graph for {length} tokens"):
                # Of branches that tracing freezes: the example is padded, so the one with the mask is kept.
                warnings.simplefilter("ignore")
                torch.jit.save(trace(_inputs(example, shapes, length)), str(place))
        # An AttributeError is what it can't compile.
        except (RuntimeError, AttributeError, TypeError, OSError) as error:
            raise ModelkilnError(f"compiling the graph for {length} tokens failed: {one_line(error)}") from error
        require_operator(place, f"{OPERATOR}_sim" if options.simulated else OPERATOR)
    buckets.write_index(path, shapes)


def devices() -> list[Path]:
    """The Neuron devices of this machine, or of this container."""
    return sorted(path for path in DEV.glob("neuron*") if path.name[len("neuron") :].isdigit())


def lacks_device(options: Settings) -> str | None:
    """Why graphs of these options of a backend can't run here, or None."""
    if options.simulated:
        here = env.simulated_neuron_device()
        return None if here else "no simulated device: set NEURON_SIM_DEVICE to one, such as inf2"
    if devices():
        return None
    return (
        "this machine has no Neuron device (/dev/neuron*); compiling needs none, running does. "
        "In a container, give it one with --device /dev/neuron0"
    )


def count_cores(simulated: bool) -> int:
    """How many cores this process may use: as the environment says, or else all that `neuron-ls` lists."""
    try:
        given = env.neuron_cores()
    except ValueError:
        raise ModelkilnError(
            "NEURON_RT_VISIBLE_CORES: expected cores such as 0-3 or 0,1; NEURON_RT_NUM_CORES: a number"
        ) from None
    if given or simulated:
        return given or 1
    try:
        done = subprocess.run(["neuron-ls", "-j"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S607
        return max(1, sum(int(device["nc_count"]) for device in json.loads(done.stdout)))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        say("neuron-ls does not say how many cores there are: using one; set NEURON_RT_NUM_CORES for more")
        return 1


def require_operator(path: Path, namespace: str) -> None:
    """Raises a ModelkilnError where a saved graph calls no operator of that namespace.

    Old versions of the compiler left a graph for the CPU without a word. What is looked at is the graph's code in the
    file: loading it would need the device.
    """
    with zipfile.ZipFile(path) as saved:
        code = [saved.read(name).decode("utf-8", "replace") for name in saved.namelist() if "/code/" in name]
    if not any(re.search(rf"\bops\.{namespace}\.\w+\(", text) for text in code):
        raise ModelkilnError(
            f"{path.name}: the compiler left nothing for the device in it, so it would run on the CPU; "
            "see its log for operators that it does not support"
        )


def load_buckets(path: Path, module: Any, options: Settings) -> Callable[..., Any]:
    """The graphs of an index, on the device: a call's batches are spread over the cores.

    Args:
        path: The index.
        module: The package; imported, since torch.jit.load would not know its operator otherwise.
        options: Of the backend.

    Raises:
        ModelkilnError: no device, one that is not this graph's, or a runtime that can't load it.
    """
    import torch

    shapes = buckets.read_index(path)
    if (lacking := lacks_device(options)) is not None:
        raise ModelkilnError(f"{path}: {lacking}")
    count = options.cores or count_cores(options.simulated)
    graphs = {}
    for length in shapes.lengths:
        place = buckets.graph_path(path, length)
        try:
            graph: Any = torch.jit.load(str(place))  # type: ignore[no-untyped-call]
            if count > 1:
                graph = module.DataParallel(graph, list(range(count)))
                graph.disable_dynamic_batching()  # each core is given its whole batch; see buckets.run_in
            graphs[length] = _call(graph, place)
        except (RuntimeError, OSError, ValueError) as error:
            raise ModelkilnError(_explain(place, error)) from error
    return buckets.run_in(shapes, graphs, count)


def other_shapes(path: Path, options: Settings) -> list[str]:
    """In what the index differs from the options that its graphs were compiled with, a line each."""
    shapes = buckets.read_index(path)
    wanted = buckets.choose_lengths(options.lengths, shapes.lengths[-1])
    pairs = {
        "lengths": (shapes.lengths, wanted),
        "batch": (shapes.batch, options.batch),
        "dynamic": (shapes.dynamic, options.dynamic_batch),
    }
    return [f"{name} {found}, expected {asked}" for name, (found, asked) in pairs.items() if found != asked]


def _inputs(example: tuple[Any, Any], shapes: Buckets, length: int) -> tuple[Any, Any]:
    """Real tokens in a shape: the example's texts, the longest first, cut or filled up to the length."""
    import torch

    order = torch.argsort(example[1].sum(1), descending=True, stable=True)
    chosen = [int(order[row % len(order)]) for row in range(shapes.batch)]
    ids = torch.full((shapes.batch, length), shapes.pad_id, dtype=torch.int32)
    mask = torch.zeros((shapes.batch, length), dtype=torch.int32)
    width = min(length - 1, example[0].shape[1])  # something is padding in each: the graph must hold the mask
    for row, place in enumerate(chosen):
        ids[row, :width], mask[row, :width] = example[0][place, :width], example[1][place, :width]
    return ids, mask


def _call(graph: Any, place: Path) -> Callable[[Any, Any], Any]:
    import torch

    def call(ids: Any, mask: Any) -> Any:
        try:
            with torch.no_grad():
                (vectors,) = graph(torch.from_numpy(ids), torch.from_numpy(mask))
        except RuntimeError as error:
            raise ModelkilnError(_explain(place, error)) from error
        return vectors.numpy()

    return call


def _explain(place: Path, error: Exception) -> str:
    # TorchScript tells the whole way to the error, which it names last.
    named = [line for line in str(error).splitlines() if re.match(r"\w*(Error|Exception): ", line)]
    said = one_line(named[-1] if named else error)
    hint = next((advice for sign, advice in ADVICE.items() if re.search(sign, said)), "")
    return f"{place}: the Neuron runtime says: {said[-400:]}" + (f"; {hint}" if hint else "")
