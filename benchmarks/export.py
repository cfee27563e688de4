"""A model as sentence-transformers exports it for its ONNX and OpenVINO backends. Runs where optimum is installed.

    python export.py SOURCE DESTINATION

The graphs are fp32 and as they are exported: ONNX Runtime optimises what it loads. The exporter's own level O3 would
put an approximate GELU into the graph, which gives other keywords.
"""

from __future__ import annotations

import sys


def main(source: str, destination: str) -> None:
    """Exports both."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # or importing OpenVINO reports to its makers
    from sentence_transformers import SentenceTransformer

    for backend in ("onnx", "openvino"):
        model = SentenceTransformer(source, backend=backend, device="cpu", model_kwargs={"export": True})
        model.save_pretrained(destination)


if __name__ == "__main__":
    main(*sys.argv[1:])
