"""A project with a registered artifact, made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from lineage.project import Project, make_project
from registries.mlflow_places import Place

from modelkiln.lineage import Chain
from modelkiln.lineage.trace import trace


@pytest.fixture(scope="session")
def made_project(made_once: Callable[[str, Callable[[Path], object]], Path], mlflow_database: Path) -> Path:
    """The folder of the project, and beside it what is known of it."""

    def make(folder: Path) -> None:
        project = folder / "project"
        (project / "registry").mkdir(parents=True)
        shutil.copy(mlflow_database, project / "registry" / "mlflow.db")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project)
            patch.setenv("MODELKILN_CACHE", str(folder / "cache"))
            for name in ("MLFLOW_TRACKING_URI", "MODELKILN_SIGNING_KEY"):
                patch.delenv(name, raising=False)
            made = make_project(project)
        (folder / "made.json").write_text(json.dumps({**asdict(made), "folder": ""}))

    return made_once("lineage", make)


@pytest.fixture
def project(made_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, which is the working folder. The registry is not copied: it is only to be read."""
    for name in ("MLFLOW_TRACKING_URI", "NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT", "MODELKILN_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(made_project / "project", tmp_path / "project", ignore=shutil.ignore_patterns("registry"))
    # MLflow takes a second to open a database that it has not opened yet.
    (tmp_path / "project" / "registry").symlink_to(made_project / "project" / "registry")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    return Project(**{**json.loads((made_project / "made.json").read_text()), "folder": tmp_path / "project"})


@pytest.fixture(scope="session")
def registered_chain(made_project: Path) -> Chain:
    """The chain of its registered version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made_project / "project")
        for name in ("MLFLOW_TRACKING_URI", "NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT"):
            patch.delenv(name, raising=False)
        return trace("mlflow:keywords/1")


@pytest.fixture
def own_project(embedded: Place, tmp_path: Path) -> Project:
    """One whose registry's files are its own, for tests that alter them."""
    return make_project(tmp_path)
