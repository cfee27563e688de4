"""`aotinductor`: no path of this machine in the code, the same bytes each time, and one line where it can't be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from compiling import compile_for, compile_here, skip_where_absent

from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest
from modelkiln.backends import Backend, aotinductor, load

Compiled = Callable[[str, str], Path]
heavy = pytest.mark.heavy  # compiling takes half a minute and more


def test_module_is_a_backend() -> None:
    backend: Backend = aotinductor
    assert load("aotinductor") is backend


@heavy
def test_manifest_says_what_machine_the_code_is_for(tiny_artifact_for: Compiled) -> None:
    manifest = read_manifest(tiny_artifact_for("aotinductor", "fp32"))
    assert manifest.machine == aotinductor.MACHINE
    assert "avx2" in manifest.machine.instructions


@heavy
def test_code_holds_no_path_and_no_source(tiny_artifact_for: Compiled) -> None:
    (graph,) = (tiny_artifact_for("aotinductor", "fp32") / "graphs").iterdir()
    data = graph.read_bytes()
    for place in ("site-packages", sys.prefix, tempfile.gettempdir() + "/", "#include", "-march"):
        assert place.encode() not in data, place


@heavy
def test_two_compiles_give_the_same_bytes(tiny_artifact_for: Compiled, tiny_source: Path, tmp_path: Path) -> None:
    first = tiny_artifact_for("aotinductor", "fp32")
    again = compile_for("aotinductor", tiny_source, tmp_path / "compiled", 48)
    assert read_manifest(again).files == read_manifest(first).files


@pytest.mark.parametrize("broken", [{"CXX": "no-such-compiler"}, {"PATH": "", "CXX": ""}], ids="-".join)
def test_missing_compiler_is_one_line(
    broken: Mapping[str, str], tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_where_absent("aotinductor")
    for name, value in broken.items():
        monkeypatch.setenv(name, value)
    name = os.environ["CXX"] or "g++"
    with pytest.raises(ModelkilnError, match=re.escape(f"needs a C++ compiler, and '{name}' was not found")):
        compile_here("aotinductor", tiny_source, tmp_path / "compiled", 48)
    assert not (tmp_path / "compiled").exists()


def test_damaged_package_is_one_line(tmp_path: Path) -> None:
    skip_where_absent("aotinductor")
    (tmp_path / "encoder.pt2").write_bytes(b"no package")
    with pytest.raises(ModelkilnError, match="torch can't load the package here") as raised:
        aotinductor.load_graph(tmp_path / "encoder.pt2", aotinductor.Options(), "fp32")
    assert "\n" not in str(raised.value)


def test_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelkilnError, match=r"pip install 'modelkiln\[aotinductor\]'"):
        aotinductor.load_graph(tmp_path / "encoder.pt2", aotinductor.Options(), "fp32")


@heavy
def test_loading_needs_no_compiler(tiny_artifact_for: Compiled, tmp_path: Path) -> None:
    """And leaves nothing behind."""
    artifact = tiny_artifact_for("aotinductor", "fp32")
    code = f"import modelkiln; print(modelkiln.load({str(artifact)!r}).extract_keywords('The new tram line opens'))"
    environment = {**os.environ, "PATH": "", "CXX": "none", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "tram" in done.stdout, done.stderr
    assert done.stderr == ""
    assert not (tmp_path / "cache").exists()
