"""One attempt at a cell: an experiment and nothing else is left, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from imports import ROOT
from sweep.small import Small, make_small

from modelkiln import ModelkilnError
from modelkiln.sweep import sweeping
from modelkiln.sweep.attempt import Job, experiments_at, start
from modelkiln.sweep.cells import Cell

pytestmark = pytest.mark.pipeline
CELL = Cell("all-MiniLM-L6-v2", "base", "openvino")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    made = make_small(tmp_path / "small")
    for name in ("PYTHONPATH", "SMALL_RAN", "MODELKILN_CACHE", "DVC_NO_ANALYTICS"):
        monkeypatch.setenv(name, made.environment[name])
    monkeypatch.delenv("SMALL_SECONDS", raising=False)
    return made


def job(small: Small, cell: Cell = CELL) -> Job:
    return Job(cell.name, cell.arguments, str(small.folder), small.commit, str(small.folder / ".dvc" / "cache"))


def clones(small: Small) -> list[Path]:
    return list(Path(small.environment["MODELKILN_CACHE"]).glob("sweep/clones/*"))


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_attempt_leaves_an_experiment_and_nothing_else_and_is_not_made_twice(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.folder)
    assert not (small.folder / ".dvc" / "cache").exists()  # nothing has run here
    work = sweeping._work(".", small.commit, retries=0, minutes=None)
    outcome = start(replace(job(small), repository=work.repository, cache=work.cache))
    assert outcome.reason == ""
    assert outcome.seconds.keys() == {"clone", "run", "push"}
    assert small.experiments == {CELL.name} == experiments_at(str(small.folder), small.commit)
    assert clones(small) == []
    assert small.run("git", "status", "--porcelain").stdout == ""
    assert small.ran == ["compile base openvino fp32", "validate base openvino fp32"]
    # Its files are in the project's own cache, and it is like any other experiment.
    small.run("dvc", "exp", "apply", CELL.name)
    assert small.read("reports/validation/metrics.json")["times_faster"] == 3.0
    small.run("git", "reset", "--hard", "-q")
    assert start(job(small)).reason == ""
    assert len(small.ran) == 2


@pytest.mark.heavy
def test_failed_attempt_says_why_and_leaves_nothing(small: Small) -> None:
    neuron = replace(CELL, backend="neuron")
    outcome = start(job(small, neuron))
    assert outcome.reason == "compile: torch_neuron is not installed"
    assert start(replace(job(small), commit="1" * 40)).reason.startswith("fatal: ")
    assert start(replace(job(small), repository=str(small.folder / "nowhere"))).reason.startswith(
        f"{small.folder}/nowhere: git can't list its experiments: fatal: "
    )
    assert small.experiments == set()
    assert clones(small) == []


@pytest.mark.heavy
def test_attempt_that_takes_too_long_is_given_up(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_SECONDS", "100")
    began = time.monotonic()
    assert start(replace(job(small), minutes=0.3)).reason == "given up: it took longer than --minutes allows"
    assert time.monotonic() - began < 60
    assert not running(small)
    assert clones(small) == []


def test_attempt_whose_worker_is_killed_kills_what_it_has_started(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_SECONDS", "100")
    code = "import sys, json; from modelkiln.sweep.attempt import Job, start; start(Job(**json.loads(sys.argv[1])))"
    worker = subprocess.Popen([sys.executable, "-c", code, json.dumps(asdict(job(small)))], cwd=ROOT)
    wait(lambda: bool(small.ran), "the stage compile has begun")
    assert running(small)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait(lambda: not running(small), "all that the attempt has started is gone")
    wait(lambda: not clones(small), "its clone is gone")
    assert small.experiments == set()
    monkeypatch.setenv("SMALL_SECONDS", "0")
    assert start(job(small)).reason == ""


def running(small: Small) -> list[str]:
    """The processes that work in a clone of the project's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "cwd").startswith(small.environment["MODELKILN_CACHE"]):
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_repository_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="git can't list its experiments: fatal: ") as raised:
        experiments_at(str(tmp_path), "1" * 40)
    assert "\n" not in str(raised.value)


@pytest.mark.heavy
def test_experiment_reaches_another_machine_by_remotes(small: Small, tmp_path: Path) -> None:
    """A bare repository and a DVC remote between two clones that share no cache."""
    small.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    small.run("git", "commit", "-qam", "a remote")
    bare = tmp_path / "origin.git"
    small.run("git", "clone", "-q", "--bare", str(small.folder), str(bare))
    url = bare.as_uri()
    assert start(replace(job(small), repository=url, cache="", remote="shared")).reason == ""
    assert small.experiments == set()
    other = Small(tmp_path / "other")
    small.run("git", "clone", "-q", url, str(other.folder))
    other.run("git", "config", "user.email", "test@example.org")
    other.run("git", "config", "user.name", "test")
    reference = f"refs/exps/{small.commit[:2]}/{small.commit[2:]}/*"
    other.run("git", "fetch", "-q", "origin", f"{reference}:{reference}")
    assert f"the best: {CELL.name} " in other.modelkiln("leaderboard").stdout
    other.modelkiln("adopt", CELL.name)
    assert other.ran == ["upload base openvino fp32"]
