"""`onnxruntime`: an ONNX graph, optimised when it is compiled. The fastest on CPUs, and the smallest to install.

`int8` quantises the weights of the matrix products per output channel when it is compiled, and what they multiply, per
tensor, in each call: so a vector depends on what else is in the batch. Lossy, and never a default.

Two compiles give the same bytes, in either precision. Weights that one file can't hold, which is 2 GiB, lie beside the
graph: encoder.onnx.data.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from modelkiln import onnx_contents
from modelkiln.backends import Run
from modelkiln.env import keep_libraries_quiet
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.onnx_export import export_onnx
from modelkiln.onnx_weights import weight_files

LIBRARIES = ("onnxruntime", "onnx", "torch", "transformers", "tokenizers", "safetensors")
RUNTIME = ("onnxruntime",)
PRECISIONS = ("fp32", "int8")
BATCH_DEPENDENT = ("int8",)
REPEATABLE = True
DEVICE = None
MACHINE = None
LAYOUT = "packed"
GRAPH = "encoder.onnx"
# Bytes that a graph in one file may have: a protobuf holds 2 GiB, and optimising may add a little.
LARGEST = 2**31 - 2**24
KEPT_INSIDE = 1024  # bytes of a tensor that stays in the graph where the weights are in a file beside it


@dataclass(frozen=True)
class Options:
    """The options of the export that change the graph."""

    opset: int = 17  # of ONNX


def compile_graph(module: Any, example: tuple[Any, ...], path: Path, options: Options, precision: str) -> None:
    """Exports the module and saves the graph as ONNX Runtime has optimised it; see Backend.compile_graph."""
    _settings(1)  # says what to install where it is missing
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        exported = Path(scratch) / GRAPH
        export_onnx(module, example, exported, options.opset)
        if precision == "int8":
            simple = exported.with_name("simple.onnx")  # every weight a constant, which quantising asks for
            _optimize(exported, simple, levels.ORT_ENABLE_BASIC)
            exported = exported.with_name("quantized.onnx")
            _quantize(simple, exported)
        # What is beyond `extended` depends on the machine that compiles.
        _optimize(exported, path, levels.ORT_ENABLE_EXTENDED)


def load_graph(
    path: Path,
    options: Options,  # noqa: ARG001 (the contract's)
    precision: str,  # noqa: ARG001
    threads: int | None = None,
) -> Run:
    """Loads the graph onto the CPU; see Backend.load_graph."""
    settings = _settings(threads)
    import onnxruntime

    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # done when compiled
    try:
        with _linked_weights(path, settings):
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes have no common one
        raise ModelkilnError(f"{path}: ONNX Runtime can't load the graph here: {one_line(error)}") from error
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Any) -> Any:
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    return run


def refers_to(path: Path) -> list[str]:
    """The weights, where one file can't hold them: beside it, as encoder.onnx.data."""
    return weight_files(path)


def strangers(path: Path, options: Options) -> list[str]:
    """What is beside the graph in its file; see Backend.strangers."""
    return onnx_contents.strangers(path, options.opset)


@contextmanager
def _linked_weights(graph: Path, settings: Any) -> Iterator[None]:
    """Hands ONNX Runtime those files beside a graph that are links, as DVC may make them to its cache.

    Since 1.24 it opens none that leads out of the folder. What it is handed is mapped into memory, and it keeps a copy;
    files that are no links it maps itself, once for all processes. Older ones open links, and take nothing.
    """
    with ExitStack() as stack:
        names = [name for name in weight_files(graph) if graph.with_name(name).is_symlink()]
        if names and hasattr(settings, "add_external_initializers_from_files_in_memory"):
            files = [stack.enter_context(graph.with_name(name).open("rb")) for name in names]
            mapped = [stack.enter_context(mmap(file.fileno(), 0, access=ACCESS_READ)) for file in files]
            settings.add_external_initializers_from_files_in_memory(names, mapped, list(map(len, mapped)))
        yield


def _optimize(graph: Path, path: Path, level: Any) -> None:
    settings = _settings(1)
    import onnxruntime

    settings.graph_optimization_level = level
    settings.optimized_model_filepath = str(path)
    if _is_large(graph):
        entry = "session.optimized_model_external_initializers_"
        settings.add_session_config_entry(f"{entry}file_name", f"{path.name}.data")
        settings.add_session_config_entry(f"{entry}min_size_in_bytes", str(KEPT_INSIDE))
    onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])


def _quantize(graph: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises, on the root logger, a preparation that the export has done already
    try:
        # Weights of 7 bits (reduce_range): without VNNI a processor adds pairs of products in 16 bits, which 8 bits
        # can exceed. The graph may be served by one that has none, and is the same whatever machine compiled it.
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=["MatMul"],  # Gemm included: it is made one first
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # the products inside the attention stay as they are
            use_external_data_format=_is_large(graph),
        )
    finally:
        root.setLevel(level)


def _is_large(graph: Path) -> bool:
    """Whether the weights need a file of their own: one can't hold them, or they lie beside the graph already.

    Saving a graph would leave those where they are.
    """
    return bool(weight_files(graph)) or graph.stat().st_size > LARGEST


def _settings(threads: int | None) -> Any:
    keep_libraries_quiet()  # before the import, which would call home
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelkilnError(
            f"backend 'onnxruntime' needs ONNX Runtime: pip install 'modelkiln[onnxruntime]' ({error})"
        ) from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or 0
    settings.log_severity_level = 3  # errors
    return settings
