"""`onnxruntime`: an ONNX graph, optimised when it is compiled. The fastest on CPUs, and the smallest to install."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import layouts
from modelkiln.backends import Run
from modelkiln.errors import ModelkilnError, one_line

LIBRARIES = ("onnxruntime", "onnx", "torch", "transformers", "tokenizers", "safetensors")
PRECISIONS = ("fp32",)
LAYOUT = "packed"
GRAPH = "encoder.onnx"


@dataclass(frozen=True)
class Options:
    """The options of the export that change the graph."""

    opset: int = 17  # of ONNX


def compile_graph(module: Any, example: tuple[Any, ...], path: Path, options: Options) -> None:
    """Exports the module and saves the graph as ONNX Runtime has optimised it; see Backend.compile_graph."""
    import onnxruntime
    import torch

    axes = {name: dict(enumerate(sizes)) for name, sizes in layouts.AXES[module.layout].items()}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        exported = Path(scratch) / GRAPH
        with torch.no_grad(), warnings.catch_warnings():
            # The exporter traces, and is deprecated with TorchScript: docs/decisions/0007-packed.md.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            torch.onnx.export(
                module,
                example,
                str(exported),
                input_names=list(axes),
                output_names=["vectors"],
                dynamic_axes={**axes, "vectors": {0: "texts"}},
                opset_version=options.opset,
                dynamo=False,
            )
        settings = _settings(1)
        # What is beyond `extended` depends on the machine that compiles.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        settings.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(str(exported), settings, providers=["CPUExecutionProvider"])


def load_graph(path: Path, options: Options, threads: int | None = None) -> Run:  # noqa: ARG001 (the contract's)
    """Loads the graph onto the CPU; see Backend.load_graph."""
    settings = _settings(threads)
    import onnxruntime

    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # done when compiled
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes have no common one
        raise ModelkilnError(f"{path}: ONNX Runtime can't load the graph here: {one_line(error)}") from error
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Any) -> Any:
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    return run


def _settings(threads: int | None) -> Any:
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
