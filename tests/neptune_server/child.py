"""Processes that register in Neptune, to be killed at any moment or to run at once. They run modelkiln as it is.

As a program, this forks a process for each line on stdin, and says on stdout which, and later how they ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from modelkiln import ModelkilnError
from modelkiln.registries import Ref, neptune
from neptune_server.samples import trained

CHANGES = (
    "createExperiment",
    "executeOperations",
    "fileAtomUpload",
    "fileAtomMultipartUploadStart",
    "fileAtomMultipartUploadPart",
    "fileAtomMultipartUploadFinish",
    "createNewArtifact",
    "uploadArtifactFilesMetadata",
)


class Children:
    """Starts and ends them, for a test."""

    def __init__(self, api_token: str) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._scratch = tempfile.TemporaryDirectory()  # for what those that are killed leave
        added = {
            "NEPTUNE_API_TOKEN": api_token,
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
            "PYTHONPATH": path,
            "TMPDIR": self._scratch.name,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "neptune_server.child"],
            env={**os.environ, **added},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Children:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()

    def start(self, folder: Path, **task: Any) -> int:
        """Starts one, and gives its process id; see `_run` for the tasks."""
        ours = ("NEPTUNE_", "MODELKILN_", "AWS_")
        variables = {name: value for name, value in os.environ.items() if name.startswith(ours)}
        return int(self._ask({"folder": str(folder), "environment": variables, **task})["pid"])

    def wait(self) -> list[tuple[int, str]]:
        """How all that were started have ended, in order: the exit code, or the negative signal, and what was said."""
        return [(code, said) for code, said in self._ask({"wait": True})["ended"]]

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Killer:
    """A `watch` for the server: kills the process `pid` at its n-th request that changes something."""

    def __init__(self, at: int, moment: str = "after") -> None:
        self.at, self.moment = at, moment
        self.seen = 0
        self.killed = False
        self._pid: int | None = None
        self._known = threading.Event()
        self._lock = threading.Lock()

    def aim(self, pid: int) -> None:
        self._pid = pid
        self._known.set()

    def __call__(self, name: str, moment: str, body: Any) -> None:
        if name not in CHANGES or moment != self.moment or body == []:
            return
        with self._lock:
            self.seen += 1
            if self.seen == self.at and self._known.wait(30) and self._pid:
                os.kill(self._pid, signal.SIGKILL)
                self.killed = True


def _run(task: dict[str, Any]) -> None:
    os.environ.update(task["environment"])
    if "disk" in task:  # no file can have more bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["disk"], task["disk"]))
    options = neptune.Options(s3=task.get("s3"))
    version = neptune.register(trained(Path(task["folder"]), {}), options)
    if "link_to" in task:
        source = neptune.resolve(Ref("neptune", "KEYB", version=task["link_to"]), options)
        neptune.link(source, version, options)
    if "alias" in task:
        neptune.set_alias(version, task["alias"], options)


def _fork(task: dict[str, Any], scratch: Path) -> int:
    if pid := os.fork():
        return pid
    out = os.open(scratch / f"{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    try:
        _run(task)
    except ModelkilnError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    except BaseException as error:
        print(f"a bug: {error!r}", file=sys.stderr, flush=True)
        os._exit(2)
    os._exit(0)


def _serve(scratch: Path) -> None:
    started: list[int] = []
    for line in sys.stdin:
        task = json.loads(line)
        if "wait" in task:
            ended = [
                (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), (scratch / f"{pid}.txt").read_text())
                for pid in started
            ]
            started = []
            print(json.dumps({"ended": ended}), flush=True)
        else:
            started.append(_fork(task, scratch))
            print(json.dumps({"pid": started[-1]}), flush=True)


if __name__ == "__main__":
    import neptune as _client  # noqa: F401  what takes its time, before the forks

    with tempfile.TemporaryDirectory() as folder:
        _serve(Path(folder))
