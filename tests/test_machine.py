"""What a machine can run is read from the machine, and what it can't is said in one line."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import ModelkilnError, machine
from modelkiln.artifact import read_manifest, seal
from modelkiln.machine import Machine, check, this_machine


def test_this_machine_can_run_what_it_has() -> None:
    here = this_machine()
    assert here.architecture in platform.machine().lower() or here.architecture in ("x86_64", "aarch64")
    check(here, "this")
    if here.system == "linux":
        assert here.instructions


def test_only_what_all_processors_have_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fma avx2 amx\n\nprocessor : 1\nflags\t\t: avx2 fma\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert this_machine().instructions == ("avx2", "fma")


@pytest.mark.parametrize("name", ["AMD64", "x86_64"])
def test_one_architecture_has_one_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: name)
    assert this_machine().architecture == "x86_64"


def test_all_that_is_lacking_is_named() -> None:
    here = this_machine()
    needed = Machine(here.system, here.architecture, ("none_such", "nor_such"))
    with pytest.raises(ModelkilnError, match=r"^the graph is machine code .* has no none_such, nor_such; compile it"):
        check(needed, "the graph")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "s390x"}, "machine code for {0} on s390x, and this machine is {0} on {1}; compile it"),
        ({"system": "plan9"}, "machine code for plan9 on {1}, and this machine is {0} on {1}; compile it"),
        ({"instructions": ("none_such",)}, "{0} on {1} with none_such, and this processor has no none_such"),
    ],
)
def test_artifact_for_another_machine_is_refused(
    change: Mapping[str, Any], message: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))
    here = this_machine()
    seal(folder, replace(read_manifest(folder), machine=here))
    modelkiln.load(folder)
    seal(folder, replace(read_manifest(folder), machine=replace(here, **change)))
    with pytest.raises(ModelkilnError, match=message.format(here.system, here.architecture)) as raised:
        modelkiln.load(folder)
    assert "\n" not in str(raised.value)
