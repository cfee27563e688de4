"""A Python that has imported torch, MLflow and their like already, which takes seconds.

Its processes are forks of one server, which has imported them, and nothing of ours. Their environment, folder,
arguments, standard files and exit code are those of a process that was started in the usual way; their sys.executable
is this Python again, for the processes that they start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMANDS = "WARM_COMMANDS"  # the environment variable that names their folder
# The libraries read it when they are imported; see modelkiln.env.
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "MLFLOW_DISABLE_TELEMETRY": "true"}


def command(name: str = "python") -> str:
    """The path of the command `python`, or `dvc`."""
    return os.path.join(os.environ[COMMANDS], name)


@contextmanager
def start() -> Iterator[None]:
    """The processes that this one starts by sys.executable are warm ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", command())
        yield


@contextmanager
def serving() -> Iterator[None]:
    """The server, for this process and those that it starts, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, socket.socket(socket.AF_UNIX) as listener:
        for name in ("python", "dvc"):
            path = Path(folder, name)
            path.write_text(f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text('utf-8')}", "utf-8")
            path.chmod(0o755)
        listener.bind(f"{folder}/socket")
        listener.listen()
        environment = {name: value for name, value in {**os.environ, **QUIET}.items() if name != "PYTHONPATH"}
        started = [sys.executable, "-P", str(HERE / "server.py"), str(listener.fileno())]
        server = subprocess.Popen(started, env=environment, pass_fds=[listener.fileno()], start_new_session=True)
        os.environ[COMMANDS] = folder
        try:
            yield
        finally:
            del os.environ[COMMANDS]
            server.kill()
            server.wait()
