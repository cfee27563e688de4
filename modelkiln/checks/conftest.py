"""What the checks share: the artifact, the uncompiled model, the texts; each loaded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import artifact, env, tasks
from modelkiln.artifact import Manifest
from modelkiln.checks.plugin import IDENTITY
from modelkiln.encoder import Encoder
from modelkiln.files import sha256
from modelkiln.golden import SHIPPED, read_samples

env.keep_libraries_quiet()


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """A missing option is one line, not an error in every check."""
    for option in ("--artifact", "--source"):
        _folder(config, option)


def _folder(config: pytest.Config, option: str) -> Path:
    folder: Path | None = config.getoption(option)
    if folder is None or not folder.is_dir():
        raise pytest.UsageError(f"{option}: {f'no folder {folder}' if folder else 'is missing'}; see `pytest --help`")
    return folder


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config) -> Path:
    """The artifact."""
    return _folder(pytestconfig, "--artifact")


@pytest.fixture(scope="session")
def source(pytestconfig: pytest.Config) -> Path:
    """The uncompiled model."""
    return _folder(pytestconfig, "--source")


@pytest.fixture(scope="session")
def manifest(folder: Path, pytestconfig: pytest.Config) -> Manifest:
    """The manifest of the verified artifact."""
    verified = artifact.verify(folder)
    pytestconfig.stash[IDENTITY].update(artifact=verified.digest, source=verified.source)
    return verified


@pytest.fixture(scope="session")
def texts(pytestconfig: pytest.Config) -> list[str]:
    """The golden samples' texts."""
    path: Path = pytestconfig.getoption("--golden") or SHIPPED
    samples = read_samples(path)
    pytestconfig.stash[IDENTITY]["golden"] = sha256(path)
    return [sample.text for sample in samples]


@pytest.fixture(scope="session")
def predictor(folder: Path, manifest: Manifest) -> Any:  # noqa: ARG001 (verified first)
    """The compiled model, loaded as serving loads it."""
    return modelkiln.load(folder)


@pytest.fixture(scope="session")
def reference(source: Path, manifest: Manifest) -> Any:
    """The uncompiled model, in the library that users know."""
    return tasks.load(manifest.task).reference(source)


@pytest.fixture(scope="session", params=["document", "word"])
def encoder(request: pytest.FixtureRequest, predictor: Any) -> Encoder:
    """Each of the compiled encoders."""
    found: Encoder = getattr(predictor, request.param)
    return found
