"""What a simulated graph is: a trace in which an operator of our own holds every input to its shape and type.

Like a real one it is saved and loaded by torch.jit, can't be loaded before this module was imported, and can't be
loaded or run without a device, which here is the environment variable NEURON_SIM_DEVICE. Written against torch 1.13
and 2.13.
"""

from __future__ import annotations

import threading
from typing import Any

import torch

from modelkiln.env import simulated_neuron_device

NAMESPACE = "neuron_sim"
_library: Any = torch.library.Library(NAMESPACE, "DEF")  # type: ignore[no-untyped-call] # must live as long as the operator
_library.define("guard(Tensor x, int[] shape, str dtype) -> Tensor")
_library.define("load(Tensor waits) -> Tensor")
_tracing = threading.local()
LAZY, ASYNCHRONOUS = 0, 1  # of Loading.waits


def require_device() -> None:
    """Raises what the vendor's runtime does where there is no device."""
    if simulated_neuron_device() is None:
        raise RuntimeError(
            "The PyTorch Neuron Runtime could not be initialized: no simulated device (NEURON_SIM_DEVICE)"
        )


def _guard(x: torch.Tensor, shape: list[int], dtype: str) -> torch.Tensor:
    if not getattr(_tracing, "now", False):
        require_device()
    if list(x.shape) != list(shape):
        raise ValueError(f"Incorrect tensor shape: compiled for {list(shape)}, found {list(x.shape)}")
    if str(x.dtype) != dtype:
        raise TypeError(f"Incorrect tensor type: compiled for {dtype}, found {x.dtype}")
    return x.clone()


def _load(waits: torch.Tensor) -> torch.Tensor:
    if not bool(waits.any()):
        require_device()
    return waits.clone()


_library.impl("guard", _guard, "CPU")
_library.impl("load", _load, "CPU")


class Loading(torch.nn.Module):
    """How a graph is loaded, which is saved with it: by torch.jit.load, or lazily, or without waiting for it.

    Where a device is missing, that is found when it is loaded, or else when it is called. Inf1's graphs are neither
    lazy nor asynchronous: https://github.com/aws-neuron/aws-neuron-sdk/issues/718
    https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-async-lazy-load.html
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits = torch.zeros(2, dtype=torch.bool)  # LAZY, ASYNCHRONOUS

    @torch.jit.export
    def __getstate__(self) -> torch.Tensor:
        return self.waits

    @torch.jit.export
    def __setstate__(self, waits: torch.Tensor) -> None:
        self.waits = torch.ops.neuron_sim.load(waits)
        self.training = False


class _Guarded(torch.nn.Module):
    def __init__(self, func: Any, examples: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.func = func
        self.loading = Loading()
        self.expected = [(list(each.shape), str(each.dtype)) for each in examples]

    def forward(self, *inputs: torch.Tensor) -> Any:
        guard: Any = torch.ops.neuron_sim.guard
        pairs = zip(inputs, self.expected)  # noqa: B905 (`strict` is Python 3.10's)
        return self.func(*[guard(each, shape, dtype) for each, (shape, dtype) in pairs])


class _Chunked(torch.nn.Module):
    """Any number of texts through a graph of one batch, for two inputs and a tuple of one output, as encoders have."""

    def __init__(self, traced: Any, batch: int) -> None:
        super().__init__()
        self.traced = traced
        self.batch = batch

    def forward(self, first: torch.Tensor, second: torch.Tensor):  # type: ignore[no-untyped-def]
        parts = []
        for start in range(0, first.size(0), self.batch):
            a = first[start : start + self.batch]
            b = second[start : start + self.batch]
            count = a.size(0)
            missing = self.batch - count
            if missing > 0:
                a = torch.cat([a, torch.zeros([missing, a.size(1)], dtype=a.dtype)])
                b = torch.cat([b, torch.zeros([missing, b.size(1)], dtype=b.dtype)])
            parts.append(self.traced(a, b)[0][:count])
        return (torch.cat(parts),)


def trace(func: Any, example_inputs: Any, **options: Any) -> Any:
    """A ScriptModule that takes only inputs of the examples' shapes and types.

    Args:
        func: A module or a function.
        example_inputs: A tensor or a tuple of tensors, as both packages want it.
        options: Of torch.jit.trace.
    """
    examples = as_tuple(example_inputs)
    _tracing.now = True
    try:
        with torch.no_grad():
            return torch.jit.trace(  # type: ignore[no-untyped-call]
                _Guarded(func, examples), examples, check_trace=False, **options
            )
    finally:
        _tracing.now = False


def as_tuple(example_inputs: Any) -> tuple[torch.Tensor, ...]:
    """The examples, which are a tensor or a tuple of tensors; anything else is a TypeError."""
    examples = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else example_inputs
    if not isinstance(examples, tuple) or not all(isinstance(each, torch.Tensor) for each in examples):
        raise TypeError(f"example_inputs must be a tensor or a tuple of tensors, found {type(example_inputs).__name__}")
    return examples


def dynamic_batch(traced: Any, batch: int) -> Any:
    """The traced module for any size of dimension 0, in chunks that are filled up to the compiled batch."""
    return torch.jit.script(_Chunked(traced, batch))
