"""toolchain.yaml names what is installed, agrees with the lock, and another environment is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from imports import ROOT

from modelkiln import ModelkilnError, toolchain

COMMITTED = yaml.safe_load((ROOT / "toolchain.yaml").read_text())


def locked() -> dict[str, set[str]]:
    """Each library's pinned versions; more than one where Python versions need different ones."""
    pins: dict[str, set[str]] = {}
    for file in ("lock.txt", "torch.txt"):
        for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements" / file).read_text()):
            pins.setdefault(name.lower(), set()).add(version)
    return pins


def test_file_names_what_is_installed() -> None:
    assert toolchain.record() == COMMITTED


def test_file_agrees_with_the_lock() -> None:
    pins = locked()
    for group, versions in COMMITTED.items():
        if group != "python":
            assert all(version in pins[library] for library, version in versions.items()), group


def test_local_label_of_a_build_does_not_count() -> None:
    """2.13.0+cpu and 2.13.0 are the same release."""
    assert toolchain.installed(["torch"]) == {"torch": "2.13.0"}


def test_other_versions_are_named_all_at_once() -> None:
    with pytest.raises(
        ModelkilnError, match=r"(?s)2 mistakes.*torch is 2\.13\.0, expected 1\.13\.1.*nope is not installed, expected 1"
    ):
        toolchain.check({"python": toolchain.python_version(), "torch": "1.13.1", "nope": "1"})


def test_missing_group_says_how_to_write_it(tmp_path: Path) -> None:
    path = tmp_path / "toolchain.yaml"
    toolchain.write(path=path)
    with pytest.raises(ModelkilnError, match="write it with `modelkiln compose`"):
        toolchain.read(["nope"], path)
