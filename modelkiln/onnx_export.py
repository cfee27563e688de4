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
        path: The file. Weights that don't fit into it, since it holds 2 GiB, are in files of their own beside it.
        opset: The version of ONNX's operators.
    """
    import torch

    axes = {name: dict(enumerate(sizes)) for name, sizes in layouts.AXES[module.layout].items()}
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter traces, and is deprecated with TorchScript: docs/decisions/0007-packed.md.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # It would not do for negative indices; there are none, and the parity tests would find them.
        warnings.filterwarnings("ignore", message="Exporting aten::index operator")
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
