"""Both packages' DataParallel, simulated: the batch is split over the cores, and each part goes through the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modelkiln.env import neuron_cores
from modelkiln.neuron_sim import graph


class DataParallel:
    """Calls a traced model with as many parts of the batch as there are cores.

    https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-data-parallel.html
    """

    def __init__(self, model: Any, device_ids: Sequence[int] | None = None, dim: int = 0) -> None:
        """By default on all cores of the process. It loads the model onto them, a lazy one too."""
        if not any(module.waits[graph.ASYNCHRONOUS] for module in model.modules() if hasattr(module, "waits")):
            graph.require_device()
        self._model = model
        self._cores = len(device_ids) if device_ids is not None else (neuron_cores() or 1)
        self._dim = dim

    def disable_dynamic_batching(self) -> None:
        """As its caller must: each part is then of the compiled batch."""

    def __call__(self, *inputs: torch.Tensor) -> Any:
        parts = zip(*(torch.chunk(each, self._cores, self._dim) for each in inputs))  # noqa: B905 (Python 3.9)
        outputs = [self._model(*part) for part in parts]
        return tuple(torch.cat(each, self._dim) for each in zip(*outputs))  # noqa: B905
