"""`openvino`: OpenVINO's own format, from the same ONNX export as `onnxruntime`.

`int8` keeps the weights of the matrix products as whole numbers, with a scale for each output channel, and computes in
fp32 with what they stand for: so a vector depends on its own text alone, and may be kept in a table. `bf16` keeps fp32
weights, and computes in bf16 where the processor can; its vectors have not been measured, so no table holds them.

Padded, though packed ran 8% faster. On a packed graph OpenVINO 2026.4 gives wrong vectors, without a word: where one
call after the other had texts of 1, 2, 3, … tokens, all from 8 tokens on were wrong. It keeps what it has made for some
shapes for later calls, and takes a wrong one: with nothing kept (CPU_RUNTIME_CACHE_CAPACITY=0) they were right, and
calls 17% slower. Padded graphs were right on every series of shapes that was tried.

Two compiles give the same bytes, in every precision, also one after the other in one process: an encoder.xml with an
encoder.bin beside it.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln.backends import Run
from modelkiln.env import keep_libraries_quiet
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.onnx_export import export_onnx

LIBRARIES = ("openvino", "onnx", "torch", "transformers", "tokenizers", "safetensors")
RUNTIME = ("openvino",)
PRECISIONS = ("fp32", "int8", "bf16")
BATCH_DEPENDENT = ("bf16",)
REPEATABLE = True
DEVICE = None
MACHINE = None
LAYOUT = "padded"  # see above
GRAPH = "encoder.xml"
PROCESSOR = "CPU"
ALIGNMENT = 64  # bytes
CONSTANT = re.compile(r'<data\b[^>]*?\boffset="(\d+)"[^>]*?\bsize="(\d+)"')


@dataclass(frozen=True)
class Options:
    """The options of the export that change the graph."""

    opset: int = 17  # of ONNX


def compile_graph(module: Any, example: tuple[Any, ...], path: Path, options: Options, precision: str) -> None:
    """Exports the module and saves it as OpenVINO reads it, its weights in a .bin beside; see Backend.compile_graph."""
    openvino, core = find_core(precision)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        exported = Path(scratch) / "encoder.onnx"
        export_onnx(module, example, exported, options.opset)
        graph = core.read_model(str(exported))
        if precision == "int8":
            _quantize_weights(graph)
        # It numbers what has no name by all that the process has made before.
        for number, node in enumerate(graph.get_ordered_ops()):
            if node.get_type_name() not in ("Parameter", "Result"):
                node.set_friendly_name(f"{node.get_type_name()}_{number}")
        # OpenVINO's own default is to save in half the precision.
        openvino.save_model(graph, str(path), compress_to_fp16=False)


def load_graph(
    path: Path,
    options: Options,  # noqa: ARG001 (the contract's)
    precision: str,
    threads: int | None = None,
) -> Run:
    """Loads the graph onto the CPU; see Backend.load_graph."""
    _, core = find_core(precision)
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": False,  # threads that are tied to cores wait for whoever else is tied to them
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # or the activations of int8 weights would be quantised, too
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    try:
        graph = core.compile_model(str(path), PROCESSOR, settings)
    except RuntimeError as error:
        raise ModelkilnError(f"{path}: OpenVINO can't load the graph here: {one_line(error)}") from error
    names = [each.any_name for each in graph.inputs]
    idle: list[Any] = []  # a request serves one call at a time: as many as there were calls at once

    def run(*inputs: Any) -> Any:
        try:
            request = idle.pop()
        except IndexError:
            request = graph.create_infer_request()
        try:
            return request.infer(dict(zip(names, inputs, strict=True)))[0]  # a copy, which outlives the request's next
        finally:
            idle.append(request)

    return run


def refers_to(path: Path) -> list[str]:
    """The weights, in a .bin of the same name."""
    return [path.with_suffix(".bin").name]


def strangers(path: Path, options: Options) -> list[str]:  # noqa: ARG001 (the contract's)
    """Bytes of the weights' file that no constant of the graph is made from."""
    # By its text: no XML of others is parsed where there is no need to.
    spans = [tuple(map(int, found)) for found in CONSTANT.findall(path.read_text(encoding="utf-8", errors="replace"))]
    read = 0
    for start, size in sorted(spans):
        if start > read + ALIGNMENT:
            return [f"{start - read} bytes of weights that nothing reads, from {read} on"]
        read = max(read, start + size)
    over = path.with_suffix(".bin").stat().st_size - read
    return [f"{over} bytes after the weights"] if over > 0 else []


def find_core(precision: str) -> tuple[Any, Any]:
    """The library and its Core.

    Raises:
        ModelkilnError: the library is missing, or the processor lacks the precision.
    """
    keep_libraries_quiet()  # before the import, which would call home
    try:
        import openvino
    except ImportError as error:
        raise ModelkilnError(
            f"backend 'openvino' needs OpenVINO: pip install 'modelkiln[openvino]' ({error})"
        ) from error
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property(PROCESSOR, "OPTIMIZATION_CAPABILITIES"):
        raise ModelkilnError(
            f"backend 'openvino': this processor ({core.get_property(PROCESSOR, 'FULL_DEVICE_NAME')}) has no "
            "instructions for bf16 (AVX512_BF16 or AMX); choose compile.precision fp32 or int8"
        )
    return openvino, core


def _quantize_weights(graph: Any) -> None:
    """Makes each constant matrix W that something is multiplied by into int8 times a scale per column of the product.

    Symmetric, and rounded to the nearest: W is about round(W / scale) * scale, with scale = max |W| / 127.
    """
    from openvino import opset13 as operators

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        weight = node.input_value(1).get_node()
        if weight.get_type_name() != "Constant":
            continue
        rows = 1 if node.get_attributes()["transpose_b"] else 0  # the axis that the product adds up
        values = weight.get_data()
        largest = np.abs(values).max(axis=rows, keepdims=True)
        scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(127)
        whole = operators.constant(np.rint(values / scale).astype(np.int8))
        scaled = operators.multiply(operators.convert(whole, "f32"), operators.constant(scale))
        node.input(1).replace_source_output(scaled.output(0))
