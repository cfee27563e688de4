"""The suite by hand takes no part of itself, and no silence, for consent; test_validation has a run that passes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from modelkiln.checks.fresh import Without
from modelkiln.verdict import read_verdict


def by_hand(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--pyargs",
        "modelkiln.checks",
        "-p",
        "no:cacheprovider",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_collecting_nothing_is_a_negative_verdict(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-k", "no_such_check")
    assert done.returncode == 5
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert verdict.failures() == ["pytest found no checks to run"]


def test_part_of_the_checks_is_a_negative_verdict(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-k", "sealed")
    assert done.returncode == 0
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert re.fullmatch(r"\d\d checks were deselected", *verdict.failures())


def test_skipped_check_is_a_negative_verdict(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    (tmp_path / "skipper.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'sealed' not in item.name: item.add_marker(pytest.mark.skip(reason='too slow'))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-p", "skipper")
    assert done.returncode == 0
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert len(verdict.failures()) == len(verdict.checks) - 1 > 30
    assert verdict.failures()[0].endswith(": too slow")


def test_missing_option_is_one_line(tmp_path: Path) -> None:
    assert "ERROR: --artifact: is missing" in by_hand("--source", tmp_path).stderr
    assert (
        f"ERROR: --source: no folder {tmp_path}/x" in by_hand("--artifact", tmp_path, "--source", tmp_path / "x").stderr
    )


def test_package_that_serving_does_without_is_not_there_as_if_it_were_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks first hears so, and goes on; torch asks of onnx when it loads what torch.export gave."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert importlib.util.find_spec("colorsys")
    monkeypatch.setattr(sys, "meta_path", [Without(finder, ["colorsys"]) for finder in sys.meta_path])
    assert importlib.util.find_spec("colorsys") is None
    with pytest.raises(ModuleNotFoundError, match="No module named 'colorsys'"):
        importlib.import_module("colorsys")
    assert importlib.util.find_spec("tomllib")
    assert metadata.version("pytest")
