"""`torch_neuron`, simulated: Inf1.

https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/api-compilation-python-api.html
"""

from __future__ import annotations

from typing import Any

from modelkiln.neuron_sim import graph
from modelkiln.neuron_sim.parallel import DataParallel

__all__ = ["DataParallel", "trace"]
# Its own, by the page; all others go on to torch.jit.trace, which refuses what it doesn't know.
OWN: tuple[str, ...] = (
    "compiler_args",
    "compiler_workdir",
    "compiler_timeout",
    "fallback",
    "dynamic_batch_size",
    "optimizations",
)
OWN += ("separate_weights", "subgraph_builder_function", "minimum_segment_size", "single_fusion_ratio_threshold")


def trace(model: Any, example_inputs: Any, **kwargs: Any) -> Any:
    """A simulated graph of the model; see graph.trace. The size of dimension 0 is free with dynamic_batch_size."""
    arguments = kwargs.get("compiler_args")
    if arguments is not None and not (isinstance(arguments, list) and all(isinstance(each, str) for each in arguments)):
        raise TypeError(f"compiler_args must be a list of str, found {arguments!r}")
    batch = int(graph.as_tuple(example_inputs)[0].shape[0])
    dynamic = bool(kwargs.get("dynamic_batch_size", False))
    if dynamic and kwargs.get("fallback", True) and batch > 1:
        # https://github.com/aws-neuron/aws-neuron-sdk/issues/405: the real one fails later, when it is asked.
        raise RuntimeError("dynamic_batch_size with fallback=True and a batch above 1 fails at inference")
    traced = graph.trace(model, example_inputs, **{name: value for name, value in kwargs.items() if name not in OWN})
    return graph.dynamic_batch(traced, batch) if dynamic else traced
