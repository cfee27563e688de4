"""`onnxruntime`: the same bytes each time, nothing of this machine in them, and served without torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from compiling import compile_for
from imports import ROOT

from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest
from modelkiln.backends import Backend, load, onnxruntime

# What `pip install 'modelkiln[onnxruntime]'` brings, and nothing else.
SERVING = ["numpy", "tokenizers", "onnxruntime", "flatbuffers", "protobuf", "rich", "typer"]
ABSENT = ["torch", "transformers", "sklearn", "pandas", "keybert", "yaml", "pydantic", "onnx"]


def test_module_is_a_backend() -> None:
    backend: Backend = onnxruntime
    assert load("onnxruntime") is backend


def test_two_compiles_give_the_same_bytes(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    again = compile_for("onnxruntime", tiny_source, tmp_path / "compiled", 48, 64, "word")
    assert read_manifest(again).files == read_manifest(table_artifact).files
    for file in again.rglob("*"):
        assert not file.is_file() or str(ROOT).encode() not in file.read_bytes()


@pytest.mark.heavy
def test_two_compiles_in_int8_give_the_same_bytes(
    tiny_artifact_for: Callable[[str, str], Path], tiny_source: Path, tmp_path: Path
) -> None:
    first = tiny_artifact_for("onnxruntime", "int8")
    again = compile_for("onnxruntime", tiny_source, tmp_path / "compiled", 48, precision="int8")
    assert read_manifest(again).files == read_manifest(first).files


def test_int8_is_smaller(tiny_artifact_for: Callable[[str, str], Path]) -> None:
    sizes = [
        read_manifest(tiny_artifact_for("onnxruntime", each)).files["graphs/encoder.onnx"].size
        for each in onnxruntime.PRECISIONS
    ]
    assert sizes[1] < 0.9 * sizes[0]


def test_worker_compiles_no_vocabulary_that_depends_on_its_batch(tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="vocabulary must be null: in int8 of onnxruntime a word's"):
        compile_for("onnxruntime", tiny_source, tmp_path / "compiled", 48, vocabulary="word", precision="int8")


def test_artifact_is_packed(table_artifact: Path) -> None:
    assert {spec.layout for spec in read_manifest(table_artifact).encoders.values()} == {"packed"}


def test_damaged_graph_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelkilnError, match="ONNX Runtime can't load the graph here") as raised:
        onnxruntime.load_graph(tmp_path / "encoder.onnx", onnxruntime.Options(), "fp32")
    assert "\n" not in str(raised.value)


def test_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelkilnError, match=r"pip install 'modelkiln\[onnxruntime\]'"):
        onnxruntime.load_graph(tmp_path / "encoder.onnx", onnxruntime.Options(), "fp32")


def test_serves_in_an_environment_without_torch(table_artifact: Path, tmp_path: Path) -> None:
    for name in SERVING:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if not file.parts[0].startswith(("..", "_"))}:
            (tmp_path / top).symlink_to(str(distribution.locate_file(top)))
    (tmp_path / "modelkiln").symlink_to(ROOT / "modelkiln")
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
assert not [name for name in {ABSENT} if importlib.util.find_spec(name)]
import modelkiln
print(modelkiln.load({str(table_artifact)!r}).extract_keywords("The new tram line opens on Friday"))
"""
    # -S: without this environment's site-packages; -I: without its variables.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tram" in done.stdout
