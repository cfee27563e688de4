"""One attempt at a cell, in a clone of its own: a process that an engine starts on whatever machine.

    echo '{"name": …}' | python -m modelkiln.sweep.attempt

It reads its job from the first line of standard input, and writes what came of it to standard output. Whoever started
it keeps standard input open: where that ends, because the engine has stopped or its worker has died, the attempt kills
what it has started, removes its clone and is gone. Nothing is shared before the experiment is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelkiln import env
from modelkiln.errors import ModelkilnError
from modelkiln.git import git
from modelkiln.sweep.reasons import reason_of
from modelkiln.sweep.shell import environment

ORIGIN = "origin"


@dataclass(frozen=True)
class Job:
    """What an attempt has to know; it travels as JSON."""

    name: str  # of the experiment
    arguments: list[str]  # of `dvc exp run`
    repository: str  # a folder or a URL that the machine reaches: the clone comes from there, the experiment goes there
    commit: str
    cache: str = ""  # DVC's cache of the repository, where that is a folder; used where the machine has it, too
    remote: str = ""  # the DVC remote that data comes from and goes to; nothing: there is none
    minutes: float | None = None  # after which the attempt is given up


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    reason: str = ""  # why it has failed; empty: there is an experiment
    seconds: dict[str, float] = field(default_factory=dict)  # {step: how long it took}


def reference(commit: str, name: str = "*") -> str:
    """Where git keeps an experiment."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def experiments_at(repository: str, commit: str) -> set[str]:
    """The names of a commit's experiments in a repository, which may be another machine's.

    Raises:
        ModelkilnError: git can't reach it.
    """
    command = ["git", "ls-remote", repository, reference(commit)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise ModelkilnError(f"{repository}: git can't list its experiments: {reason_of(listed.stderr)}")
    return {line.rpartition("/")[2] for line in listed.stdout.splitlines()}


def start(job: Job) -> Outcome:
    """Makes the attempt in a process of its own, which tidies up and ends when this one dies."""
    command = [sys.executable, "-m", "modelkiln.sweep.attempt"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (they are pipes)
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        process.stdin.flush()
        said = process.stdout.read()
    try:
        return Outcome(**json.loads(said))
    except ValueError:
        return Outcome("the attempt's process was killed, or did not start")


class Commands:
    """Runs one command after the other, until it is stopped."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline  # of time.monotonic
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, *command: str, folder: Path) -> None:
        """Runs a command to its end; a ModelkilnError says why it has failed."""
        with self._lock:
            if self._stopped:
                raise ModelkilnError("stopped")
            self._running = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # so that all that it starts can be killed with it
            )
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        try:
            said, _ = self._running.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ModelkilnError("given up: it took longer than --minutes allows") from None
        if self._running.returncode != 0:
            raise ModelkilnError(reason_of(said))

    def stop(self) -> None:
        """Kills what is running, and lets nothing follow."""
        with self._lock:
            self._stopped = True
            if self._running is not None and self._running.poll() is None:
                os.killpg(self._running.pid, signal.SIGKILL)


def attempt(job: Job, folder: Path, commands: Commands) -> Outcome:
    """Makes the experiment in a clone at `folder`, and hands it to the repository."""
    seconds: dict[str, float] = {}
    if job.name in experiments_at(job.repository, job.commit):  # by an attempt that was taken for lost
        return Outcome()
    dvc = (sys.executable, "-m", "dvc")
    try:
        with _timed(seconds, "clone"):
            # The objects of a folder are used where they are; a clone without its history DVC can't run experiments in.
            shared = ["--shared"] if Path(job.repository).is_dir() else []
            commands.run(
                "git", "clone", "-q", "--no-checkout", *shared, job.repository, str(folder), folder=folder.parent
            )
            commands.run("git", "checkout", "-q", "--detach", job.commit, folder=folder)
            _configure(job, folder, commands)
        with _timed(seconds, "run"):
            commands.run(*dvc, "exp", "run", *(["--pull"] if job.remote else []), *job.arguments, folder=folder)
        with _timed(seconds, "push"):
            data = ["--remote", job.remote, "--run-cache"] if job.remote else ["--no-cache"]
            commands.run(*dvc, "exp", "push", *data, ORIGIN, reference(job.commit, job.name), folder=folder)
    except ModelkilnError as error:
        return Outcome(str(error), seconds)
    return Outcome("", seconds)


def _configure(job: Job, folder: Path, commands: Commands) -> None:
    """Gives the clone DVC's cache, and git somebody who commits where the machine names nobody."""
    cache = Path(job.cache) if job.cache and Path(job.cache).is_dir() else scratch() / "cache"
    commands.run(sys.executable, "-m", "dvc", "config", "--local", "cache.dir", str(cache), folder=folder)
    if not git("config", "user.email"):
        commands.run("git", "config", "user.name", "modelkiln sweep", folder=folder)
        commands.run("git", "config", "user.email", "sweep@modelkiln.invalid", folder=folder)


def scratch() -> Path:
    """Where this machine keeps clones while they run, and the cache that they share where they don't share another."""
    return env.cache_folder() / "sweep"


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[step] = round(time.monotonic() - began, 2)


def main() -> None:
    """Reads the job, makes the attempt, says what came of it."""
    if os.fork():  # Ray's workers kill their children when they die, which would leave the rest
        os._exit(0)
    job = Job(**json.loads(sys.stdin.readline()))
    (scratch() / "clones").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{job.name}-", dir=scratch() / "clones"))
    commands = Commands(None if job.minutes is None else time.monotonic() + 60 * job.minutes)

    def watch() -> None:
        sys.stdin.read()
        commands.stop()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        outcome = attempt(job, folder / "clone", commands)
    except ModelkilnError as error:
        outcome = Outcome(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
