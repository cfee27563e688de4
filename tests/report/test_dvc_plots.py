"""`dvc plots show` draws the evidence: dvc.yaml's plots and the templates in .dvc/plots/."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports import ROOT
from report.folders import Folders

from modelkiln.files import to_json, write_text
from modelkiln.report import SAMPLES, write_report

PLOTS = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
NAMES = [name for plot in PLOTS for name in plot]


@pytest.fixture
def repository(passed: Folders, tmp_path: Path) -> Path:
    """A DVC repository with our plots, and the reports of a passed artifact."""
    write_report(*passed)
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    shutil.copytree(ROOT / ".dvc" / "plots", tmp_path / ".dvc" / "plots")
    shutil.copytree(passed[0], tmp_path / "reports" / "validation")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": PLOTS}))
    return tmp_path


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True, check=True)


def specs(folder: Path) -> dict[str, Any]:
    """The Vega specifications on the page that `dvc plots show` writes, by their titles."""
    dvc(folder, "plots", "show")
    page = (folder / "dvc_plots" / "index.html").read_text("utf-8")
    found = [json.loads(spec) for spec in re.findall(r"var spec = (.*?);\n", page)]
    return {spec["title"]: spec for spec in found if spec}


def test_every_plot_is_drawn_from_all_its_rows(repository: Path) -> None:
    found = specs(repository)
    assert list(found) == NAMES
    rows = {name: len(spec["data"]["values"]) for name, spec in found.items()}
    assert list(rows.values()) == [750, 342, 120, 480]
    assert "DVC_METRIC" not in json.dumps(found)


def test_every_field_of_a_plot_is_in_its_rows(repository: Path) -> None:
    for name, spec in specs(repository).items():
        fields = set(re.findall(r'"field": "(\w+)"', json.dumps({**spec, "data": None}))) - {"from_one"}
        assert fields <= set(spec["data"]["values"][0]), name


def test_plots_without_rows_do_not_stop_the_others(repository: Path) -> None:
    for file in (SAMPLES, "evidence/scores.json"):
        write_text(repository / "reports" / "validation" / file, to_json([]))
    assert list(specs(repository)) == ["cosine per length", "agreement per document"]
