"""A graph that reads what its artifact does not hold is refused, and so is one that a compiler left broken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compiling import ALL, compile_here, compile_simulated
from test_checks import by_hand
from test_cli import refused

import modelkiln
from modelkiln import ModelkilnError, backends, suite
from modelkiln.artifact import read_manifest, seal
from modelkiln.backends import generic, neuron, openvino
from modelkiln.encoder import load_encoders
from modelkiln.verdict import read_verdict

BACKENDS = [pytest.param(*each, marks=pytest.mark.heavy if each[0] == "aotinductor" else ()) for each in ALL]


def with_weights_in(location: str, artifact: Path, folder: Path) -> Path:
    """A sealed copy whose graph has its weights in a file of that name, which is nowhere."""
    import onnx

    shutil.copytree(artifact, folder)
    graph = folder / "graphs" / "encoder.onnx"
    model = onnx.load(graph)
    onnx.external_data_helper.convert_model_to_external_data(model, location="elsewhere")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
        tensor.ClearField("raw_data")
    graph.write_bytes(model.SerializeToString())
    seal(folder, read_manifest(folder))
    return folder


@pytest.fixture
def parted(tiny_artifact_for: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """What an artifact was before modelkiln kept weights beside a graph: sealed, and without them."""
    return with_weights_in("weights.bin", tiny_artifact_for("onnxruntime", "fp32"), tmp_path / "parted")


@pytest.mark.parametrize(("backend", "precision"), BACKENDS)
def test_a_graph_and_what_it_refers_to_are_all_that_is_compiled(
    backend: str, precision: str, tiny_artifact_for: Callable[[str, str], Path]
) -> None:
    folder = tiny_artifact_for(backend, precision)
    loaded = backends.load(backend)
    named = [loaded.GRAPH, *loaded.refers_to(folder / "graphs" / loaded.GRAPH)]
    assert sorted(named) == sorted(path.name for path in (folder / "graphs").iterdir())
    backends.require_whole(folder, read_manifest(folder))


@pytest.mark.parametrize("backend", ["neuron", "neuronx"])
def test_an_index_refers_to_its_graphs(backend: str, simulated: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(simulated(backend), tmp_path / "copy"))
    backends.require_whole(folder, read_manifest(folder))
    (folder / "graphs" / "encoder-16.pt").unlink()
    manifest = seal(folder, read_manifest(folder))
    with pytest.raises(
        ModelkilnError, match=r"not beside them in the manifest: 'encoder-16\.pt' \(graphs/encoder\.json\)"
    ):
        backends.require_whole(folder, manifest)


def test_weights_of_openvino_have_to_be_there(tiny_artifact_for: Callable[[str, str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_artifact_for("openvino", "fp32"), tmp_path / "copy"))
    (folder / "graphs" / "encoder.bin").unlink()
    seal(folder, read_manifest(folder))
    with pytest.raises(ModelkilnError, match=r"not beside them in the manifest: 'encoder\.bin'"):
        modelkiln.load(folder)


def test_artifact_without_its_weights_is_refused_by_all_that_take_one(
    parted: Path, tmp_path: Path, modelkiln_command: Any
) -> None:
    told = f"{parted}: refused, its graphs read files that are not beside them in the manifest: 'weights.bin' (graphs/"
    assert told in refused(modelkiln_command("verify", parted))
    manifest = read_manifest(parted)
    for take in (
        lambda: modelkiln.load(parted),
        lambda: load_encoders(parted, manifest, run=lambda *inputs: inputs),
        lambda: suite.judge_by_recording(parted, tmp_path / "recorded", tmp_path / "reports"),
    ):
        with pytest.raises(ModelkilnError) as raised:
            take()
        assert str(raised.value).startswith(told)
        assert "\n" not in str(raised.value)


def test_checks_refuse_it(parted: Path, tiny_source: Path, tmp_path: Path) -> None:
    by_hand("--artifact", parted, "--source", tiny_source, "--reports", tmp_path / "reports", "-k", "real_texts")
    verdict = read_verdict(tmp_path / "reports" / "verdict.json")
    assert not verdict.passed
    assert "not beside them in the manifest: 'weights.bin'" in str(verdict)


@pytest.mark.parametrize("location", ["/etc/hostname", "../tokenizer.json", "./encoder.onnx", "", "a/../encoder.onnx"])
def test_path_that_is_no_name_is_refused(
    location: str, tiny_artifact_for: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Also of a file that is in the manifest."""
    folder = with_weights_in(location, tiny_artifact_for("onnxruntime", "fp32"), tmp_path / "copy")
    with pytest.raises(ModelkilnError) as raised:
        modelkiln.load(folder)
    assert f"not beside them in the manifest: {location!r} (graphs/encoder.onnx)" in str(raised.value)


def test_compiler_that_leaves_a_file_out_is_refused(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing can be run for want of a device."""
    compiled = neuron.compile_graph

    def compile_graph(*arguments: Any) -> None:
        compiled(*arguments)
        arguments[2].with_name("encoder-8.pt").unlink()

    monkeypatch.setattr(neuron, "compile_graph", compile_graph)
    with pytest.raises(ModelkilnError, match=r"not beside them in the manifest: 'encoder-8\.pt'"):
        compile_simulated("neuron", tiny_source, tmp_path / "compiled")
    assert os.listdir(tmp_path) == []


class NoNumbers(torch.nn.Module):
    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> tuple[Any]:
        return (self.module(*inputs)[0] * float("nan"),)


class NoText(NoNumbers):
    def forward(self, *inputs: Any) -> tuple[Any]:
        return (self.module(*inputs)[0][1:],)


@pytest.mark.parametrize(
    ("broken", "said"), [(NoNumbers, "not all finite numbers"), (NoText, r"of shape \(4, 32\), expected \(5, 32\)")]
)
def test_compiled_graph_that_gives_no_vectors_is_refused(
    broken: Any, said: str, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = generic.compile_graph
    monkeypatch.setattr(generic, "compile_graph", lambda module, *rest: compiled(broken(module), *rest))
    with pytest.raises(ModelkilnError, match=f"the compiled graph's vectors are {said}") as raised:
        compile_here("generic", tiny_source, tmp_path / "compiled", 48)
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == []


def test_compiled_graph_that_can_not_be_loaded_is_refused(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = openvino.compile_graph

    def compile_graph(*arguments: Any) -> None:
        compiled(*arguments)
        arguments[2].with_suffix(".bin").unlink()

    monkeypatch.setattr(openvino, "compile_graph", compile_graph)
    with pytest.raises(ModelkilnError, match=r"encoder\.xml: OpenVINO can't load the graph here"):
        compile_here("openvino", tiny_source, tmp_path / "compiled", 48)
    assert os.listdir(tmp_path) == []


def test_compiling_loads_the_graph_once(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the trial and for the vocabulary."""
    loaded, load_graph = [], generic.load_graph

    def counted(*arguments: Any) -> Any:
        loaded.append(arguments[0])
        return load_graph(*arguments)

    monkeypatch.setattr(generic, "load_graph", counted)
    compile_here("generic", tiny_source, tmp_path / "compiled", 48, 64, "word")
    assert len(loaded) == 1
