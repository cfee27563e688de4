"""`openvino`: the same bytes each time, whole numbers for int8, and not a word to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from compiling import compile_for, compile_here, skip_where_absent
from imports import ROOT

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest
from modelkiln.backends import Backend, load, openvino

# What `pip install 'modelkiln[openvino]'` brings, and nothing else.
SERVING = ["numpy", "tokenizers", "openvino", "openvino-telemetry", "rich", "typer"]
ABSENT = ["torch", "transformers", "sklearn", "pandas", "keybert", "yaml", "pydantic", "onnx"]


@pytest.fixture(autouse=True)
def _library() -> None:
    skip_where_absent("openvino")


def test_module_is_a_backend() -> None:
    backend: Backend = openvino
    assert load("openvino") is backend


@pytest.mark.heavy
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_two_compiles_give_the_same_bytes(
    precision: str, tiny_artifact_for: Callable[[str, str], Path], tiny_source: Path, tmp_path: Path
) -> None:
    again = compile_for("openvino", tiny_source, tmp_path / "compiled", 48, precision=precision)
    assert read_manifest(again).files == read_manifest(tiny_artifact_for("openvino", precision)).files
    for file in again.rglob("*"):
        assert not file.is_file() or str(ROOT).encode() not in file.read_bytes()


def test_weights_are_whole_numbers_in_int8(tiny_artifact_for: Callable[[str, str], Path]) -> None:
    graphs = [tiny_artifact_for("openvino", precision) / "graphs/encoder.xml" for precision in ("fp32", "int8")]
    assert ['element_type="i8"' in graph.read_text() for graph in graphs] == [False, True]
    exact, whole = (graph.with_suffix(".bin").stat().st_size for graph in graphs)
    assert whole < 0.9 * exact


def test_bf16_says_what_the_processor_lacks(tiny_source: Path, tmp_path: Path) -> None:
    _, core = openvino.find_core("fp32")
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has bf16")
    message = r"this processor \(.+\) has no instructions for bf16 \(AVX512_BF16 or AMX\); choose .* fp32 or int8"
    with pytest.raises(ModelkilnError, match=message):
        compile_here("openvino", tiny_source, tmp_path / "compiled", 48, precision="bf16")
    with pytest.raises(ModelkilnError, match=message):
        openvino.load_graph(tmp_path / "encoder.xml", openvino.Options(), "bf16")


def test_damaged_graph_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "encoder.xml").write_bytes(b"no graph")
    with pytest.raises(ModelkilnError, match="OpenVINO can't load the graph here") as raised:
        openvino.load_graph(tmp_path / "encoder.xml", openvino.Options(), "fp32")
    assert "\n" not in str(raised.value)


def test_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelkilnError, match=r"pip install 'modelkiln\[openvino\]'"):
        openvino.load_graph(tmp_path / "encoder.xml", openvino.Options(), "fp32")


def test_table_belongs_to_the_weights_beside_the_graph(tiny_source: Path, tmp_path: Path) -> None:
    """Both files are in its digest: another .bin under the same .xml is another graph."""
    from modelkiln.artifact import seal

    folder = compile_here("openvino", tiny_source, tmp_path / "compiled", 48, 64, "word")
    assert len(modelkiln.load(folder).word.vocabulary) > 100
    weights = folder / "graphs" / "encoder.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    seal(folder, read_manifest(folder))
    with pytest.raises(ModelkilnError, match="made with another graph"):
        modelkiln.load(folder)


def test_serves_without_torch_and_reports_to_nobody(
    tiny_artifact_for: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """OpenVINO's telemetry writes an id into the home folder before it sends anything."""
    for name in SERVING:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if not file.parts[0].startswith(("..", "_"))}:
            (tmp_path / top).symlink_to(str(distribution.locate_file(top)))
    (tmp_path / "modelkiln").symlink_to(ROOT / "modelkiln")
    (tmp_path / "home").mkdir()
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
assert not [name for name in {ABSENT} if importlib.util.find_spec(name)]
import modelkiln
print(modelkiln.load({str(tiny_artifact_for("openvino", "fp32"))!r}).extract_keywords("The new tram line opens"))
import openvino.tools.ovc as ovc
assert ovc.telemetry is not None and "stub" in type(ovc.telemetry).__module__, type(ovc.telemetry)
"""
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-E", "-s", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tram" in done.stdout
    assert list((tmp_path / "home").iterdir()) == []
