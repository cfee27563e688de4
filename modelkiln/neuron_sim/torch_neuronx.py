"""`torch_neuronx`, simulated: Inf2, Trn1, Trn2.

https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modelkiln.env import simulated_neuron_device
from modelkiln.neuron_sim import graph
from modelkiln.neuron_sim.parallel import DataParallel

__all__ = ["DataParallel", "async_load", "dynamic_batch", "lazy_load", "trace"]
TARGETS = ("inf2", "trn1", "trn1n", "trn2")
# Flags of its compiler, and what each may be; the guide lists more, which may be anything here:
# https://awsdocs-neuron.readthedocs-hosted.com/en/latest/compiler/neuronx-cc/api-reference-guide/neuron-compiler-cli-reference-guide.html
FLAGS: Mapping[str, Sequence[str]] = {
    "--target": TARGETS,
    "--auto-cast": ("none", "matmult", "all"),
    "--auto-cast-type": ("bf16", "fp16", "tf32", "fp8_e4m3"),
    "--model-type": ("generic", "transformer", "unet-inference"),
    "--optlevel": ("1", "2", "3"),
}


def trace(
    func: Any,
    example_inputs: Any,
    *extra: Any,
    input_output_aliases: Any = None,  # noqa: ARG001 (as the page has it)
    compiler_workdir: str | None = None,  # noqa: ARG001
    compiler_args: str | list[str] | None = None,
    partitioner_config: Any = None,  # noqa: ARG001
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Any:
    """A simulated graph of the model; see graph.trace. An unknown keyword is a TypeError, where the real one warns."""
    if extra:
        warnings.warn(f"torch_neuronx.trace takes two arguments, the rest by name; ignored: {extra}", stacklevel=2)
    flags = _flags(compiler_args)
    if cpu_backend and "--target" not in flags:
        raise RuntimeError("cpu_backend=True needs --target in compiler_args")
    if not cpu_backend and simulated_neuron_device() is None:
        raise RuntimeError("Runtime failed: !(num_devices > 0)")
    traced = graph.trace(func, example_inputs)
    traced._simulated = (int(graph.as_tuple(example_inputs)[0].shape[0]), inline_weights_to_neff)
    return traced


def dynamic_batch(traced: Any) -> Any:
    """The traced model for any size of dimension 0. (The real one changes its argument as well.)"""
    batch, inlined = traced._simulated
    if not inlined:
        raise RuntimeError("dynamic_batch does not go together with inline_weights_to_neff=False")
    return graph.dynamic_batch(traced, batch)


def async_load(trace: Any, enable_async_load: bool = True) -> None:
    """Whether loading the traced model onto the device is not waited for; a call of the model waits then."""
    _loading(trace).waits[graph.ASYNCHRONOUS] = enable_async_load


def lazy_load(trace: Any, enable_lazy_load: bool = True) -> None:
    """Whether DataParallel, or the first call, loads the traced model onto the device, and torch.jit.load does not."""
    _loading(trace).waits[graph.LAZY] = enable_lazy_load


def _loading(trace: Any) -> Any:
    """Both "should be called immediately after" tracing: what came of the traced model is refused."""
    if not isinstance(trace, torch.jit.ScriptModule) or not hasattr(trace, "loading"):
        raise TypeError(f"expected what torch_neuronx.trace returned, found {type(trace).__name__}")
    return trace.loading


def _flags(compiler_args: str | list[str] | None) -> dict[str, str]:
    """The compiler's flags, `--name value` or `--name=value`, each held to what it may be."""
    if not isinstance(compiler_args, (str, list, type(None))):
        raise TypeError(f"compiler_args must be a str or a list of str, found {type(compiler_args).__name__}")
    words = shlex.split(compiler_args) if isinstance(compiler_args, str) else list(compiler_args or [])
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    flags = {}
    for index, word in enumerate(words):
        if word.startswith("--"):
            following = words[index + 1 : index + 2]
            flags[word] = following[0] if following and not following[0].startswith("--") else ""
    for name, value in flags.items():
        if name in FLAGS and value not in FLAGS[name]:
            raise RuntimeError(f"neuronx-cc: {name} {value!r}, expected one of {', '.join(FLAGS[name])}")
    return flags
