"""`neuronx`: AWS Inferentia 2 and Trainium (Inf2, Trn1, Trn2), by torch-neuronx. A graph for each length: buckets.py.

Compiling needs no device, but the vendor's package.
https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import buckets, env, inferentia
from modelkiln.backends import Run

LIBRARIES = ("torch", "torch-neuronx", "neuronx-cc", "transformers", "tokenizers", "safetensors")
RUNTIME = ("torch", "torch_neuronx")
PRECISIONS = ("fp32", "bf16", "fp16", "tf32")
BATCH_DEPENDENT = ()
REPEATABLE = False
MACHINE = None
DEVICE = inferentia.lacks_device
LAYOUT = "padded"
GRAPH = inferentia.GRAPH
INSTALL = "torch-neuronx==2.9.0.2.15.32035 neuronx-cc==2.26.6360.0 (Python 3.11 to 3.13, torch 2.9.0)"
TARGETS = ("inf2", "trn1", "trn1n", "trn2")


@dataclass(frozen=True)
class Options:
    """What torch_neuronx.trace, its compiler and its runtime are given."""

    target: str = "inf2"  # the device that it is for: inf2, trn1, trn1n, trn2
    lengths: list[int] = field(default_factory=lambda: [32, 64, 128])  # tokens: a graph for each, and for max_length
    batch: int = 1  # texts that a graph takes at once: 1 for latency, 8 to 16 for throughput on Inf2
    dynamic_batch: bool = True  # any number of texts in a call, in chunks of `batch`
    auto_cast: str = "matmult"  # what is computed in `precision`, where that is not fp32: matmult or all
    optlevel: int = 2  # of the compiler: 1 compiles faster, 3 may run faster
    compiler_args: list[str] = field(default_factory=list)  # more flags for it; those that options set are refused
    inline_weights: bool = True  # weights inside the compiled code; false: weights that could be replaced
    async_load: bool = False  # true: the graphs are loaded onto the device side by side, and their first calls wait
    lazy_load: bool = False  # true: a graph is loaded by its first call, so a length that never comes takes no memory
    work_folder: str | None = None  # the compiler's own files stay there, to look into; null: a temporary folder
    cores: int | None = None  # that a process uses; null: all that NEURON_RT_VISIBLE_CORES lets it see
    simulated: bool = False  # true: by the simulator, on the CPU; nothing that it makes may be served

    def __post_init__(self) -> None:
        buckets.check_options(self.lengths, self.batch, self.cores)
        if self.target not in TARGETS:
            raise ValueError(f"target is {self.target!r}, expected one of {', '.join(TARGETS)}")
        if self.auto_cast not in ("matmult", "all"):
            raise ValueError(f"auto_cast is {self.auto_cast!r}, expected matmult or all; none is precision: fp32")
        if self.optlevel not in (1, 2, 3):
            raise ValueError(f"optlevel is {self.optlevel}, expected 1, 2 or 3")
        if self.dynamic_batch and not self.inline_weights:
            raise ValueError("dynamic_batch does not go together with inline_weights: false; choose one")
        own = ("--target", "--auto-cast", "--auto-cast-type", "--model-type", "--optlevel", "-O")
        twice = [flag for flag in self.compiler_args if flag.split("=")[0] in own]
        if twice:
            raise ValueError(
                f"compiler_args: {', '.join(twice)}: has an option of its own here, or follows from precision"
            )


def compiler_flags(options: Options, precision: str) -> list[str]:
    """The flags of neuronx-cc."""
    cast = ["none"] if precision == "fp32" else [options.auto_cast, "--auto-cast-type", precision]
    flags = ["--target", options.target, "--model-type", "transformer", "--optlevel", str(options.optlevel)]
    return [*flags, "--auto-cast", *cast, *options.compiler_args]


def compile_graph(module: Any, example: tuple[Any, Any], path: Path, options: Options, precision: str) -> None:
    """Compiles a graph for each length; see Backend.compile_graph."""
    neuronx = inferentia.package("torch_neuronx", INSTALL, options.simulated)
    # Without a device tracing fails, unless it is told to do without: aws-neuron-sdk issues 902 and 910.
    here = env.simulated_neuron_device() is not None if options.simulated else bool(inferentia.devices())
    folder = {"compiler_workdir": options.work_folder} if options.work_folder else {}

    def trace(inputs: tuple[Any, Any]) -> Any:
        traced = neuronx.trace(
            module,
            inputs,
            compiler_args=compiler_flags(options, precision),
            inline_weights_to_neff=options.inline_weights,
            cpu_backend=not here,
            **folder,
        )
        # Both have to come "immediately after" tracing, and change their argument.
        if options.async_load:
            neuronx.async_load(traced)
        if options.lazy_load:
            neuronx.lazy_load(traced)
        if options.dynamic_batch:
            # It changes its argument, by some pages; by others it returns what it made.
            return neuronx.dynamic_batch(traced) or traced
        return traced

    inferentia.compile_buckets(trace, example, path, module.max_length, options)


def load_graph(
    path: Path,
    options: Options,
    precision: str,  # noqa: ARG001 (the contract's)
    threads: int | None = None,  # noqa: ARG001 (the device's cores compute)
) -> Run:
    """Loads the graphs onto the device; see Backend.load_graph."""
    neuronx = inferentia.package("torch_neuronx", INSTALL, options.simulated)
    return inferentia.load_buckets(path, neuronx, options)


def refers_to(path: Path) -> list[str]:
    """The graphs of the index."""
    return [buckets.graph_path(path, length).name for length in buckets.read_index(path).lengths]


def strangers(path: Path, options: Options) -> list[str]:
    """Shapes that the index has and the options do not; what is inside the vendor's archives nobody here can tell."""
    return inferentia.other_shapes(path, options)
