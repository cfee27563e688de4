"""A torch module -> an ONNX file, as torch exports it: what the backends that start from ONNX share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from modelkiln import layouts


def export_onnx(module: Any, example: tuple[Any, ...], path: Path, opset: int) -> None:
    """Writes the module's graph, of any size along the axes that layouts.AXES names; its output is called `vectors`.

    Args:
        module: See Backend.compile_graph.
        example: See Backend.compile_graph.
        path: The file; weights of more than 2 GB would need a second one, and are refused by torch.
        opset: The version of ONNX's operators.
    """
    import torch

    axes = {name: dict(enumerate(sizes)) for name, sizes in layouts.AXES[module.layout].items()}
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter traces, and is deprecated with TorchScript: docs/decisions/0007-packed.md.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=list(axes),
            output_names=["vectors"],
            dynamic_axes={**axes, "vectors": {0: "texts"}},
            opset_version=opset,
            dynamo=False,
        )
