"""`onnxruntime`: the same bytes each time, nothing of this machine in them, and served without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from compiling import compile_for, compile_here, fetch_local
from imports import ROOT
from tiny import build_tiny_model

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest
from modelkiln.backends import Backend, load, onnxruntime
from modelkiln.reference import load_uncompiled

# What `pip install 'modelkiln[onnxruntime]'` brings, and nothing else.
SERVING = ["numpy", "tokenizers", "onnxruntime", "flatbuffers", "protobuf", "rich", "typer"]
TEXTS = ["tram", "The weir was closed.", "wind and rain " * 9]
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


@pytest.mark.parametrize(("precision", "largest"), [("fp32", 100_000), ("int8", 100_000), ("int8", 275_000)])
def test_weights_that_one_file_can_not_hold_are_beside_the_graph(
    precision: str,
    largest: int,
    tiny_artifact_for: Callable[[str, str], Path],
    tiny_source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where they would fit after quantising, and don't before."""
    one_file = tiny_artifact_for("onnxruntime", precision)
    monkeypatch.setattr(onnxruntime, "LARGEST", largest)
    folder = compile_here("onnxruntime", tiny_source, tmp_path / "compiled", 48, precision=precision)
    sizes = {path: file.size for path, file in read_manifest(folder).files.items() if path.startswith("graphs/")}
    assert list(sizes) == ["graphs/encoder.onnx", "graphs/encoder.onnx.data"]
    assert sizes["graphs/encoder.onnx"] < 100_000 < sizes["graphs/encoder.onnx.data"]
    vectors = [modelkiln.load(each).document.encode(TEXTS) for each in (folder, one_file)]
    np.testing.assert_array_equal(*vectors)
    again = compile_here("onnxruntime", tiny_source, tmp_path / "again", 48, precision=precision)
    assert read_manifest(again).files == read_manifest(folder).files


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard links", "symlinks"])
def test_weights_beside_the_graph_are_loaded_from_dvc_s_cache(
    link: Callable[[Path, Path], None], tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each file lies in a folder of its own, under a name that its content gives it."""
    monkeypatch.setattr(onnxruntime, "LARGEST", 100_000)
    folder = compile_here("onnxruntime", tiny_source, tmp_path / "compiled", 48)
    expected = modelkiln.load(folder).document.encode(TEXTS)
    for name, file in read_manifest(folder).files.items():
        cached = tmp_path / "cache" / "files" / "md5" / file.sha256[:2] / file.sha256[2:32]
        cached.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(cached)
        link(cached, folder / name)
    np.testing.assert_array_equal(modelkiln.load(folder).document.encode(TEXTS), expected)


@pytest.mark.heavy
@pytest.mark.parametrize("precision", onnxruntime.PRECISIONS)
def test_model_of_more_than_2_gb_is_compiled_and_served(precision: str, tmp_path: Path) -> None:
    """17 million tokens of 32 dimensions; up to 11 GB of memory, 7 GB of disk, and two minutes."""
    source = fetch_local(build_tiny_model(tmp_path / "model", tokens=17_000_000), tmp_path / "source", "huge")
    shutil.rmtree(tmp_path / "model")
    folder = compile_for("onnxruntime", source, tmp_path / "compiled", 48, precision=precision)
    sizes = {path: file.size for path, file in read_manifest(folder).files.items()}
    assert sizes["graphs/encoder.onnx"] < 100_000
    assert sizes["graphs/encoder.onnx.data"] > 2**31
    found, expected = modelkiln.load(folder).document.encode(TEXTS), load_uncompiled(source, "").encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5 if precision == "fp32" else 0.2, rtol=0)
    shutil.rmtree(tmp_path)


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
