"""`neuron`: AWS Inferentia of the first generation (Inf1), by torch-neuron. A graph for each length; see buckets.py.

Compiling needs no device, but the vendor's package, which needs Python 3.10 and torch 1.13: `compile.python`.
https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/api-compilation-python-api.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import buckets, inferentia
from modelkiln.backends import Run

LIBRARIES = ("torch", "torch-neuron", "neuron-cc", "transformers", "tokenizers", "safetensors")
RUNTIME = ("torch", "torch_neuron")
# What the weights and the vectors are. The device multiplies in bf16 whatever the flags say.
PRECISIONS = ("bf16",)
BATCH_DEPENDENT = ()
REPEATABLE = False
MACHINE = None
DEVICE = inferentia.lacks_device
LAYOUT = "padded"
GRAPH = inferentia.GRAPH
INSTALL = "torch-neuron==1.13.1.2.11.13.0 neuron-cc==1.24.0.0 (Python 3.10, torch 1.13.1)"


@dataclass(frozen=True)
class Options:
    """What torch_neuron.trace and its runtime are given. The defaults are what the first users have run for years."""

    lengths: list[int] = field(default_factory=lambda: [32, 64, 128])  # tokens: a graph for each, and for max_length
    batch: int = 1  # texts that a graph takes at once: 1 for latency, 6 to 8 for throughput on Inf1
    # "--fast-math none": without it there were NaNs, https://github.com/aws-neuron/aws-neuron-sdk/issues/456
    compiler_args: list[str] = field(default_factory=lambda: ["--fast-math", "none"])
    dynamic_batch: bool = True  # any number of texts in a call, in chunks of `batch`
    fallback: bool = False  # true: what the compiler does not support runs on the CPU, slowly; false: it is an error
    strict: bool = False  # of torch.jit.trace
    work_folder: str | None = None  # the compiler's own files stay there, to look into; null: a temporary folder
    timeout: int | None = None  # seconds for one graph; null: none
    cores: int | None = None  # that a process uses; null: all that NEURON_RT_VISIBLE_CORES lets it see
    simulated: bool = False  # true: by the simulator, on the CPU; nothing that it makes may be served

    def __post_init__(self) -> None:
        buckets.check_options(self.lengths, self.batch, self.cores)
        if self.dynamic_batch and self.fallback and self.batch > 1:
            raise ValueError(
                "dynamic_batch with fallback and a batch above 1 fails when the model is asked "
                "(aws-neuron-sdk issues 405 and 681): choose fallback: false, or batch: 1"
            )


def compile_graph(
    module: Any,
    example: tuple[Any, Any],
    path: Path,
    options: Options,
    precision: str,  # noqa: ARG001 (the contract's)
) -> None:
    """Compiles a graph for each length; see Backend.compile_graph."""
    neuron = inferentia.package("torch_neuron", INSTALL, options.simulated)
    given = {
        "compiler_args": options.compiler_args,
        "compiler_workdir": options.work_folder,
        "compiler_timeout": options.timeout,
    }

    def trace(inputs: tuple[Any, Any]) -> Any:
        return neuron.trace(
            module,
            inputs,
            dynamic_batch_size=options.dynamic_batch,
            fallback=options.fallback,
            strict=options.strict,
            **{name: value for name, value in given.items() if value is not None},
        )

    inferentia.compile_buckets(trace, example, path, module.max_length, options)


def load_graph(
    path: Path,
    options: Options,
    precision: str,  # noqa: ARG001 (the contract's)
    threads: int | None = None,  # noqa: ARG001 (the device's cores compute)
) -> Run:
    """Loads the graphs onto the device; see Backend.load_graph."""
    neuron = inferentia.package("torch_neuron", INSTALL, options.simulated)
    return inferentia.load_buckets(path, neuron, options)


def refers_to(path: Path) -> list[str]:
    """The graphs of the index."""
    return [buckets.graph_path(path, length).name for length in buckets.read_index(path).lengths]


def strangers(path: Path, options: Options) -> list[str]:
    """Shapes that the index has and the options do not; what is inside the vendor's archives nobody here can tell."""
    return inferentia.other_shapes(path, options)
