"""A Neptune server over HTTP and an empty project on it, for the real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neptune_server import NeptuneServer
from neptune_server.child import Children
from neptune_server.samples import PROJECT, SECRET, token

from modelkiln.registries import neptune


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NeptuneServer]:
    server = NeptuneServer(tmp_path_factory.mktemp("neptune"))
    server.start()
    yield server
    server.die()


@pytest.fixture
def server(
    running: NeptuneServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[NeptuneServer]:
    """The server, with one empty project. Nothing but stderr may be talked to, and not of the token."""
    running.reset()
    running.state.add_project(PROJECT, "PROJ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token(running.url))
    monkeypatch.setenv("NEPTUNE_PROJECT", PROJECT)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.delenv("NEPTUNE_DATA_DIRECTORY", raising=False)
    # Seconds for which the client tries again; it has read its environment when the tests begin.
    monkeypatch.setattr("neptune.common.backends.utils.retries_timeout", 1.5)
    yield running
    said = capfd.readouterr()
    assert said.out == ""
    assert token(running.url) not in said.err
    assert SECRET not in said.err
    assert not (tmp_path / ".neptune").exists()


@pytest.fixture
def options(server: NeptuneServer) -> neptune.Options:
    return neptune.Options()


@pytest.fixture(scope="session")
def parent(running: NeptuneServer) -> Iterator[Children]:
    """Starts real processes that register, quickly: they are forks of one that has imported everything."""
    with Children(token(running.url)) as children:
        yield children
