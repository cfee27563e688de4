"""Reports folders that are made up once for all tests of a module."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from report.folders import Folders, build


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return build(tmp_path_factory.mktemp("passed"))


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return build(tmp_path_factory.mktemp("refused"), documents=40, off=0.02)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A passed one with gold key phrases, so that no part of the page is empty."""
    return build(tmp_path_factory.mktemp("full"), documents=31)


@pytest.fixture
def altered(passed: Folders, tmp_path: Path) -> Folders:
    """A passed one's own copy, for tests that change it."""
    for folder in passed:
        shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path / passed[0].name, tmp_path / passed[1].name, tmp_path / passed[2].name
