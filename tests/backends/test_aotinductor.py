"""`aotinductor`: no path of this machine in the code, the same bytes each time, and one line where it can't be."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import compile_for, skip_where_absent

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest, seal
from modelkiln.backends import Backend, aotinductor, load

Compiled = Callable[[str, str], Path]


def test_module_is_a_backend() -> None:
    backend: Backend = aotinductor
    assert load("aotinductor") is backend


def test_manifest_says_what_machine_the_code_is_for(tiny_artifact_for: Compiled) -> None:
    manifest = read_manifest(tiny_artifact_for("aotinductor", "fp32"))
    assert manifest.machine == aotinductor.MACHINE
    assert "avx2" in manifest.machine.instructions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "aarch64"}, "machine code for linux on aarch64, and this machine is linux on x86_64"),
        ({"system": "darwin"}, "machine code for darwin on x86_64, and this machine is linux on x86_64"),
        ({"instructions": ("avx2", "amx_tile9")}, r"with avx2, amx_tile9, and this processor has no amx_tile9"),
    ],
)
def test_code_for_another_machine_is_refused(
    change: Mapping[str, str], message: str, tiny_artifact_for: Compiled, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_artifact_for("aotinductor", "fp32"), tmp_path / "copy"))
    manifest = read_manifest(folder)
    seal(folder, replace(manifest, machine=replace(manifest.machine, **change)))
    with pytest.raises(ModelkilnError, match=message) as raised:
        modelkiln.load(folder)
    assert "\n" not in str(raised.value)


def test_code_holds_no_path_and_no_source(tiny_artifact_for: Compiled) -> None:
    (graph,) = (tiny_artifact_for("aotinductor", "fp32") / "graphs").iterdir()
    data = graph.read_bytes()
    for place in ("site-packages", sys.prefix, tempfile.gettempdir() + "/", "#include", "-march"):
        assert place.encode() not in data, place


@pytest.mark.heavy
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
        compile_for("aotinductor", tiny_source, tmp_path / "compiled", 48)
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
