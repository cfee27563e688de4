"""`neuron` and `neuronx`, by their simulator: static graphs for each length, the vendor's words, honest refusals."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiling import compile_simulated
from earned import earned

import modelkiln
from modelkiln import ModelkilnError, backends, inferentia, params, plugins, registration
from modelkiln.artifact import read_manifest
from modelkiln.backends import neuron, neuronx
from modelkiln.bounds import STRICT
from modelkiln.encoder import load_encoders
from modelkiln.params import Upload
from modelkiln.reference import load_uncompiled

BACKENDS = ("neuron", "neuronx")
TEXTS = [
    "tram",
    "The weir was closed.",
    "wind and rain " * 30,
    "The old bridge at the harbour opens for ships at noon.",
]
EACH = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_SIM_DEVICE", "inf2")


@EACH
def test_module_is_a_backend(backend: str) -> None:
    contract: tuple[backends.Backend, ...] = (neuron, neuronx)
    assert backends.load(backend) in contract


@EACH
def test_artifact_has_a_graph_for_each_length_and_says_that_it_is_simulated(
    backend: str, simulated: Callable[[str], Path]
) -> None:
    manifest = read_manifest(simulated(backend))
    assert manifest.simulated
    assert manifest.options["simulated"] is True
    graphs = [name for name in manifest.files if name.startswith("graphs/")]
    assert graphs == [*(f"graphs/encoder-{length}.pt" for length in (16, 48, 8)), "graphs/encoder.json"]


@EACH
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.usefixtures("device")
def test_vectors_are_those_of_the_uncompiled_model_on_any_number_of_cores(
    backend: str, cores: int, simulated: Callable[[str], Path], tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0" if cores == 1 else "0-1")
    folder = simulated(backend)
    encoder = load_encoders(folder, read_manifest(folder))["document"]
    texts = TEXTS * 3
    reference = load_uncompiled(tiny_source, "")
    reference.max_seq_length = 48
    np.testing.assert_allclose(encoder.encode(texts), reference.encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "options"),
    [("neuron", {"dynamic_batch": False}), ("neuronx", {"dynamic_batch": False, "inline_weights": False})],
)
@pytest.mark.usefixtures("device")
def test_fixed_batch_gives_the_same_keywords(
    backend: str, options: dict[str, Any], simulated: Callable[[str], Path], tiny_source: Path, tmp_path: Path
) -> None:
    fixed = compile_simulated(backend, tiny_source, tmp_path / "fixed", **options)
    answers = [modelkiln.load(folder, cache_mb=0).extract_keywords(TEXTS) for folder in (fixed, simulated(backend))]
    assert answers[0] == answers[1]


class Sums(torch.nn.Module):
    """The least that a backend compiles."""

    max_length = 4

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return ((ids * mask).float().sum(1, keepdim=True),)


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({}, [False, False]),
        ({"lazy_load": True}, [True, False]),
        ({"async_load": True}, [False, True]),
        ({"lazy_load": True, "async_load": True, "dynamic_batch": False}, [True, True]),
    ],
)
@pytest.mark.parametrize("cores", ["0", "0-1"])
@pytest.mark.usefixtures("device")
def test_neuronx_settles_how_each_graph_is_loaded(
    options: dict[str, bool], waits: list[bool], cores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", cores)
    given = neuronx.Options(simulated=True, lengths=[3], **options)
    ids, mask = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 1]]), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    neuronx.compile_graph(Sums(), (ids, mask), tmp_path / "encoder.json", given, "fp32")
    run = neuronx.load_graph(tmp_path / "encoder.json", given, "fp32")
    assert run(ids.numpy(), mask.numpy()).tolist() == [[11], [25]]
    for length in (3, 4):
        graph = torch.jit.load(str(tmp_path / f"encoder-{length}.pt"))
        assert (graph.traced if given.dynamic_batch else graph).loading.waits.tolist() == waits


@EACH
def test_without_a_device_it_compiles_and_says_that_it_cannot_run(
    backend: str, simulated: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelkilnError, match=r"encoder\.json: no simulated device: set NEURON_SIM_DEVICE"):
        modelkiln.load(simulated(backend))


@pytest.mark.parametrize("stub", ["raise ImportError('WRONG PACKAGE')", "x = 1"])
@EACH
def test_stand_in_package_counts_as_not_installed(
    backend: str, stub: str, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"torch_{backend}"
    (tmp_path / f"{name}.py").write_text(stub)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(
        ModelkilnError, match=rf"{name} is not installed \(.*pip install --extra-index-url https://pip"
    ) as raised:
        compile_simulated(backend, tiny_source, tmp_path / "compiled", simulated=False)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "compiled").exists()
    sys.modules.pop(name, None)


def test_device_is_looked_for_where_the_driver_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inferentia, "DEV", tmp_path)
    assert neuron.DEVICE(neuron.Options()) == inferentia.lacks_device(neuron.Options())
    assert "/dev/neuron" in str(neuron.DEVICE(neuron.Options()))
    (tmp_path / "neuron_core").touch()
    assert inferentia.devices() == []
    (tmp_path / "neuron0").touch()
    assert neuronx.DEVICE(neuronx.Options()) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fallback": True, "batch": 2}, "issues 405 and 681"),
        ({"lengths": [1]}, "at least 3"),
        ({"batch": 0}, "at least 1"),
    ],
)
def test_neuron_refuses_what_is_known_not_to_work(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelkilnError, match=said):
        params.options("backends", "neuron", options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inline_weights": False}, "dynamic_batch does not go together"),
        ({"target": "inf1"}, "expected one of inf2"),
        ({"auto_cast": "none"}, "precision: fp32"),
        ({"optlevel": 4}, "expected 1, 2 or 3"),
        ({"compiler_args": ["--target=trn1"]}, "--target=trn1: has an option of its own"),
        ({"lengths": ["8"]}, r"lengths\[0\]: expected a whole number"),
    ],
)
def test_neuronx_refuses_what_is_known_not_to_work(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelkilnError, match=said):
        params.options("backends", "neuronx", options)


def test_precision_is_the_compiler_s_auto_cast() -> None:
    flags = neuronx.compiler_flags(neuronx.Options(target="trn2", compiler_args=["--verbose", "35"]), "bf16")
    assert " ".join(flags) == (
        "--target trn2 --model-type transformer --optlevel 2 --auto-cast matmult --auto-cast-type bf16 --verbose 35"
    )
    assert neuronx.compiler_flags(neuronx.Options(), "fp32")[-2:] == ["--auto-cast", "none"]


def test_graph_without_the_vendor_s_operator_is_refused(tmp_path: Path) -> None:
    for code, fits in (
        ("(ops.neuron.forward_1([x]),)", True),
        ("torch.add(x, 1)", False),
        ("ops.neuronal.f(x)", False),
    ):
        with zipfile.ZipFile(tmp_path / "encoder-8.pt", "w") as graph:
            graph.writestr("encoder-8/code/__torch__/m.py", f"def forward(self, x):\n  return {code}\n")
        if fits:
            inferentia.require_operator(tmp_path / "encoder-8.pt", "neuron")
        else:
            with pytest.raises(ModelkilnError, match="would run on the CPU"):
                inferentia.require_operator(tmp_path / "encoder-8.pt", "neuron")


@pytest.mark.parametrize(
    ("listed", "number", "count"), [("0-3", "", 4), ("0,2", "", 2), ("1,4-5", "9", 3), ("", "6", 6)]
)
def test_cores_are_what_the_environment_gives(
    listed: str, number: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", listed)
    monkeypatch.setenv("NEURON_RT_NUM_CORES", number)
    assert inferentia.count_cores(simulated=False) == count


def test_cores_that_mean_nothing_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "all")
    with pytest.raises(ModelkilnError, match="expected cores such as 0-3"):
        inferentia.count_cores(simulated=True)


def test_simulated_artifact_is_registered_in_a_test_registry_only(
    simulated: Callable[[str], Path], mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = simulated("neuronx")
    verdict = earned(read_manifest(folder))
    golden = {"inputs": ["text"], "inference_params": [{}], "predictions": [[]]}
    place = {"tracking_uri": f"sqlite:///{mlflow_database}", "artifact_root": str(tmp_path / "files")}
    upload = Upload("mlflow", "neuron-test", "neuron-test", "champion", options=place)
    with pytest.raises(ModelkilnError, match=r"compiled with a simulator.*test_registry"):
        registration.upload(folder, verdict, STRICT, golden, upload)
    assert registration.upload(folder, verdict, STRICT, golden, replace(upload, test_registry=True))["version"] == "1"


@pytest.mark.parametrize("name", plugins.known("backends"))
def test_only_what_needs_a_device_asks_for_one(name: str) -> None:
    lacks = backends.load(name).DEVICE
    assert (lacks is None) is (name not in BACKENDS)
    assert lacks is None or callable(lacks)
