"""`generic`: TorchScript's deprecation is understood in one place, and other warnings still come through."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from modelkiln.backends import Backend, generic, load


class Sum(torch.nn.Module):
    """The smallest module of the right shape."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        return ((input_ids * attention_mask).sum(1, keepdim=True).float(),)


EXAMPLE = (torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]))


def test_module_is_a_backend() -> None:
    backend: Backend = generic
    assert load("generic") is backend


def test_compiling_and_loading_warn_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generic.compile_graph(Sum(), EXAMPLE, tmp_path / generic.GRAPH, generic.Options(), "fp32")
        run = generic.load_graph(tmp_path / generic.GRAPH, generic.Options(), "fp32")
    assert run(EXAMPLE[0].numpy(), EXAMPLE[1].numpy()).tolist() == [[6.0], [4.0]]


def test_torch_still_warns_of_torchscript() -> None:
    """When it no longer does, the filter can go."""
    with pytest.warns(DeprecationWarning, match=r"torch\.jit\.trace"):
        torch.jit.trace(Sum(), EXAMPLE)  # type: ignore[no-untyped-call]


def test_other_warnings_come_through(tmp_path: Path) -> None:
    class Loud(Sum):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
            warnings.warn("the model's own", UserWarning, stacklevel=1)
            return super().forward(input_ids, attention_mask)

    with pytest.warns(UserWarning, match="the model's own"):
        generic.compile_graph(Loud(), EXAMPLE, tmp_path / generic.GRAPH, generic.Options(), "fp32")
