"""What a machine can run is read from the machine, and what it can't is said in one line."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from modelkiln import ModelkilnError, machine
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
