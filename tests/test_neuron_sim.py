"""The simulator holds its caller to the vendor's documentation: each rule, for both packages.

The numbers are those of the list that the simulator was written from; docs/neuron.md has it, with the pages.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modelkiln.neuron_sim import torch_neuron, torch_neuronx

IDS, MASK = torch.tensor([[5, 6, 0], [7, 8, 9]], dtype=torch.int32), torch.tensor([[1, 1, 0], [1, 1, 1]]).int()
NEW = ["--target", "inf2"]


class Model(torch.nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return ((ids * mask).float().sum(1, keepdim=True),)


def old(**options: Any) -> Any:
    return torch_neuron.trace(Model(), (IDS, MASK), fallback=False, **options)


def new(*extra: Any, **options: Any) -> Any:
    return torch_neuronx.trace(Model(), (IDS, MASK), *extra, **{"cpu_backend": True, "compiler_args": NEW, **options})


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("NEURON_SIM_DEVICE", "inf2")
    return monkeypatch  # type: ignore[return-value]


BOTH = pytest.mark.parametrize("trace", [old, new], ids=["neuron", "neuronx"])


def test_rule_1_neuronx_takes_the_rest_by_name() -> None:
    with pytest.warns(UserWarning, match="two arguments"):
        new("positional")
    with pytest.raises(TypeError, match="dynamic_batch_size"):
        new(dynamic_batch_size=True)


def test_rule_2_neuron_hands_what_it_does_not_know_to_torch() -> None:
    old(strict=False)
    with pytest.raises(TypeError, match="no_such_option"):
        old(no_such_option=1)


@pytest.mark.parametrize("package", [torch_neuron, torch_neuronx])
@pytest.mark.parametrize("inputs", [{"ids": IDS}, [IDS, MASK]], ids=["dict", "list"])
def test_rule_3_inputs_are_a_tensor_or_a_tuple(package: Any, inputs: Any) -> None:
    options = {} if package is torch_neuron else {"cpu_backend": True, "compiler_args": NEW}
    with pytest.raises(TypeError, match="a tensor or a tuple"):
        package.trace(Model(), inputs, **options)
    assert package.trace(lambda x: x + 1, IDS, **options)(IDS).tolist() == (IDS + 1).tolist()


def test_rule_4_compiler_args_are_a_list_for_neuron_and_may_be_text_for_neuronx() -> None:
    old(compiler_args=["--fast-math", "none"])
    with pytest.raises(TypeError, match="list of str"):
        old(compiler_args="--fast-math none")
    new(compiler_args="--target inf2 --auto-cast matmult")
    with pytest.raises(TypeError, match="a str or a list"):
        new(compiler_args=("--target", "inf2"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "needs --target"),
        (["--target", "inf1"], "--target 'inf1'"),
        ([*NEW, "--auto-cast", "some"], "--auto-cast 'some'"),
        ([*NEW, "--optlevel=4"], "--optlevel '4'"),
    ],
)
def test_rule_5_neuronx_without_a_device_wants_a_target_that_exists(flags: list[str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        new(compiler_args=flags)


def test_rule_6_neuronx_needs_a_device_or_the_cpu_backend(device: pytest.MonkeyPatch) -> None:
    new(cpu_backend=False)
    device.delenv("NEURON_SIM_DEVICE")
    with pytest.raises(RuntimeError, match="num_devices > 0"):
        new(cpu_backend=False)


@BOTH
def test_rule_7_without_a_device_it_can_be_traced_and_saved_and_not_run(
    trace: Any, device: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device.delenv("NEURON_SIM_DEVICE")
    traced = trace()
    torch.jit.save(traced, str(tmp_path / "graph.pt"))
    with pytest.raises(RuntimeError):
        traced(IDS, MASK)
    with pytest.raises(RuntimeError):
        torch.jit.load(str(tmp_path / "graph.pt"))


@BOTH
def test_rule_8_what_was_saved_is_loaded_where_the_package_was_imported(trace: Any, tmp_path: Path) -> None:
    torch.jit.save(trace(), str(tmp_path / "graph.pt"))
    assert torch.jit.load(str(tmp_path / "graph.pt"))(IDS, MASK)[0].tolist() == [[11], [24]]
    bare = "import sys, torch; torch.jit.load(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", bare, str(tmp_path / "graph.pt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Unknown builtin op: neuron_sim::" in done.stderr


@BOTH
@pytest.mark.parametrize(
    "inputs",
    [(IDS[:, :2], MASK[:, :2]), (IDS[:1], MASK[:1]), (IDS.long(), MASK), (IDS, MASK.float())],
    ids=["length", "batch", "int64", "float"],
)
def test_rule_9_no_other_shape_and_no_other_type(trace: Any, inputs: tuple[Any, Any]) -> None:
    traced = trace()
    with pytest.raises(RuntimeError):
        traced(*inputs)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_rule_10_dynamic_batch_frees_dimension_0_only(rows: int) -> None:
    many, masks = IDS.repeat(3, 1)[:rows], MASK.repeat(3, 1)[:rows]
    expected = Model()(many, masks)[0].tolist()
    for dynamic in (old(dynamic_batch_size=True), torch_neuronx.dynamic_batch(new())):
        assert dynamic(many, masks)[0].tolist() == expected
        with pytest.raises(RuntimeError):
            dynamic(many[:, :2], masks[:, :2])


def test_rule_10_combinations_that_do_not_work_are_refused() -> None:
    with pytest.raises(RuntimeError, match="fallback=True"):
        torch_neuron.trace(Model(), (IDS, MASK), dynamic_batch_size=True)
    with pytest.raises(RuntimeError, match="inline_weights_to_neff"):
        torch_neuronx.dynamic_batch(new(inline_weights_to_neff=False))


@BOTH
def test_rule_11_outputs_keep_their_structure_and_branches_are_frozen(trace: Any) -> None:
    (vectors,) = trace()(IDS, MASK)
    assert (vectors.device.type, vectors.dtype, tuple(vectors.shape)) == ("cpu", torch.float32, (2, 1))

    def branching(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x - 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch_neuron.trace(branching, torch.ones(2))
    assert traced(-torch.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("settings", "by_load", "by_data_parallel"),
    [
        ([], True, True),
        ([torch_neuronx.lazy_load], False, True),
        ([torch_neuronx.async_load], False, False),
        ([torch_neuronx.lazy_load, torch_neuronx.async_load], False, False),
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_rule_12_what_loads_a_graph_is_saved_with_it_and_is_what_misses_the_device(
    settings: list[Any],
    by_load: bool,
    by_data_parallel: bool,
    dynamic: bool,
    device: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    traced = new()
    for setting in settings:
        assert setting(traced) is None
    torch.jit.save(torch_neuronx.dynamic_batch(traced) if dynamic else traced, str(tmp_path / "graph.pt"))
    graph = torch.jit.load(str(tmp_path / "graph.pt"))
    assert graph(IDS, MASK)[0].tolist() == torch_neuronx.DataParallel(graph, [0])(IDS, MASK)[0].tolist() == [[11], [24]]
    device.delenv("NEURON_SIM_DEVICE")
    missed = [_misses(lambda: torch.jit.load(str(tmp_path / "graph.pt")))]
    missed += [_misses(lambda: torch_neuronx.DataParallel(graph, [0])), _misses(lambda: graph(IDS, MASK))]
    assert missed == [by_load, by_data_parallel, True]


@pytest.mark.parametrize(("setting", "name"), [(torch_neuronx.lazy_load, "lazy"), (torch_neuronx.async_load, "async")])
def test_rule_12_loading_is_settled_right_after_tracing(setting: Any, name: str) -> None:
    traced = new()
    with pytest.raises(TypeError, match=r"what torch_neuronx\.trace returned"):
        setting(torch_neuronx.dynamic_batch(traced))
    with pytest.raises(TypeError, match=r"what torch_neuronx\.trace returned"):
        setting(Model())
    setting(traced)
    setting(traced, **{f"enable_{name}_load": False})
    assert traced.loading.waits.tolist() == [False, False]


def _misses(work: Any) -> bool:
    """Whether it fails for want of a device."""
    try:
        work()
    except RuntimeError as error:
        return "no simulated device" in str(error)
    return False
