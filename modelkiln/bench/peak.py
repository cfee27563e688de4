"""How near the encoder comes to the fastest matrix products of the machine, both measured in turns in one process.

    python -m modelkiln.bench.peak '{"artifact": …, "source": …, "threads": 1, "rounds": 9}'

A product of (tokens, rows) and (rows, columns) takes 2 * tokens * rows * columns operations, in fp32. Measured are a
square one and the model's own, in each library that is installed. In a round everything is run once, so the share of a
round compares what was measured within a second or two; the share given is the median over the rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import modelkiln
from modelkiln import layouts
from modelkiln.artifact import Manifest, read_manifest
from modelkiln.bench.process import environment
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_json

TOKENS = 512  # in a product: as many as modelkiln puts into a call
SQUARE = 1024
DOCUMENTS = 8
SECONDS = 0.05  # for a product in a round, at the least

Shape = tuple[int, int, int]  # tokens, rows, columns


def measure_peak(artifact: Path, source: Path, texts: Sequence[str], threads: int = 1, rounds: int = 9) -> Any:
    """What main() below prints, from a process of its own."""
    config = {"artifact": str(artifact), "source": str(source), "threads": threads, "rounds": rounds}
    command = [sys.executable, "-m", "modelkiln.bench.peak", json.dumps(config)]
    asked = json.dumps(list(texts[:DOCUMENTS]))
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=False, env=environment(sys.executable, threads)
    )
    if done.returncode:
        raise ModelkilnError(f"bench: the peak could not be measured: {one_line(done.stderr.splitlines()[-1:])}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, and prints the result as a line of JSON."""
    config = json.loads(sys.argv[1])
    artifact = Path(config["artifact"])
    manifest = read_manifest(artifact)
    model = read_json(Path(config["source"]) / "config.json", "the source's config")
    encoder = modelkiln.load(artifact, threads=config["threads"], cache_mb=0).document
    length = encoder.spec.max_length
    documents = long_documents(json.load(sys.stdin), length)
    if min(encoder.count_tokens(documents)) < length:
        raise ModelkilnError(f"the texts are too short to be cut at {length} tokens")
    linear, attention = operations(model, length)
    products = {
        (library, shape): run
        for shape in shapes(model)
        for library, make in LIBRARIES.items()
        if (run := make(shape, config["threads"])) is not None
    }
    encoder.encode(documents)
    rates: dict[Any, list[float]] = {key: [] for key in products}
    encoding, tokens = [], DOCUMENTS * length
    for _ in range(config["rounds"]):
        for key, run in products.items():
            rates[key].append(_rate(run, key[1]))
        started = time.perf_counter()
        encoder.encode(documents)
        encoding.append(tokens / (time.perf_counter() - started))
    best = [max(each[i] for each in rates.values()) for i in range(config["rounds"])]
    result = {
        "threads": config["threads"],
        "documents": DOCUMENTS,
        "tokens": length,
        "rounds": config["rounds"],
        "peak_gflops": median(best) / 1e9,
        "tokens_per_s": median(encoding),
        "mflop_per_token": {"linear": linear / 1e6, "attention": attention / 1e6},
        "share_linear": median(rate * linear / peak for rate, peak in zip(encoding, best, strict=True)),
        "share_with_attention": median(
            rate * (linear + attention) / peak for rate, peak in zip(encoding, best, strict=True)
        ),
        "products": [
            {"library": library, "shape": shape, "gflops": median(each) / 1e9}
            for (library, shape), each in rates.items()
        ],
        "profile": profile(artifact, manifest, config["threads"]) if manifest.backend == "onnxruntime" else {},
    }
    print(json.dumps(result))


def operations(model: dict[str, Any], length: int) -> tuple[float, float]:
    """Operations for a token, of a text of `length` tokens: in the linear layers, and in the attention's products."""
    layers, width, inner = model["num_hidden_layers"], model["hidden_size"], model["intermediate_size"]
    return 2.0 * layers * (4 * width * width + 2 * width * inner), 2.0 * layers * 2 * length * width


def shapes(model: dict[str, Any]) -> list[Shape]:
    """A square product, and those of the model's layers, the three projections of the attention in one."""
    width, inner = model["hidden_size"], model["intermediate_size"]
    own = [(TOKENS, width, 3 * width), (TOKENS, width, width), (TOKENS, width, inner), (TOKENS, inner, width)]
    return [(SQUARE, SQUARE, SQUARE), *own]


def long_documents(texts: Sequence[str], length: int) -> list[str]:
    """Texts of at least `length` words, no two of which begin alike."""
    words = " ".join(texts).split()
    words *= 1 + length // max(1, len(words))
    step = max(1, len(words) // DOCUMENTS)
    return [" ".join((words[i * step :] + words)[: length + 1]) for i in range(DOCUMENTS)]


def profile(artifact: Path, manifest: Manifest, threads: int) -> dict[str, float]:
    """The share of the time that each kind of node of an ONNX graph takes, for two documents of full length."""
    import numpy as np
    import onnxruntime

    spec = manifest.encoders["document"]
    rows = [[token % 1000 + 1 for token in range(spec.max_length)]] * 2
    inputs = layouts.pack(rows, []) if spec.layout == "packed" else layouts.pad(rows, manifest.pad_id)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(scratch) / "profile")
        session = onnxruntime.InferenceSession(str(artifact / spec.graph), settings, providers=["CPUExecutionProvider"])
        feed = dict(zip([each.name for each in session.get_inputs()], map(np.asarray, inputs), strict=True))
        for _ in range(5):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            spent[kind] = spent.get(kind, 0.0) + event["dur"]
    total = sum(spent.values())
    return {kind: seconds / total for kind, seconds in sorted(spent.items(), key=lambda each: -each[1])}


def _rate(run: Callable[[], Any], shape: Shape) -> float:
    done, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < SECONDS:
        run()
        done += 1
    return 2.0 * shape[0] * shape[1] * shape[2] * done / spent


def _numpy(shape: Shape, threads: int) -> Callable[[], Any] | None:  # noqa: ARG001 (the environment says how many)
    import numpy as np

    left, right = _factors(shape)
    out = np.empty((shape[0], shape[2]), dtype=np.float32)
    return lambda: np.matmul(left, right, out=out)


def _torch(shape: Shape, threads: int) -> Callable[[], Any] | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    left, right = map(torch.from_numpy, _factors(shape))
    out = torch.empty(shape[0], shape[2])
    return lambda: torch.mm(left, right, out=out)


def _onnxruntime(shape: Shape, threads: int) -> Callable[[], Any] | None:
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    left, right = _factors(shape)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.FLOAT, left.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [shape[0], shape[2]])],
        [numpy_helper.from_array(right, "right")],  # weights, which ONNX Runtime packs once
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"left": left})


def _factors(shape: Shape) -> tuple[Any, Any]:
    import numpy as np

    generator = np.random.default_rng(0)
    return tuple(generator.standard_normal(size, dtype=np.float32) for size in (shape[:2], shape[1:]))  # type: ignore[return-value]


LIBRARIES: dict[str, Callable[[Shape, int], Callable[[], Any] | None]] = {
    "numpy": _numpy,
    "torch": _torch,
    "onnxruntime": _onnxruntime,
}

if __name__ == "__main__":
    main()
