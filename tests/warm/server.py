"""The server of the warm Python. It imports the libraries when it is asked for the first time, and ends with pytest."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from multiprocessing.connection import wait
from typing import Any

LIBRARIES = ["torch", "transformers", "sentence_transformers", "keybert"]
LIBRARIES += ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "dvc.repo", "pytest", "hypothesis", "hydra"]
FORK = multiprocessing.get_context("fork")
PATIENCE = 2.0  # seconds until it looks whether pytest is there


def main(listener: socket.socket) -> None:
    """Answers each client in a process of its own."""
    parent = os.getppid()
    listener.settimeout(PATIENCE)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those processes
    while os.getppid() == parent:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        with client:
            for name in LIBRARIES:
                importlib.import_module(name)
            gc.freeze()  # or each fork would go through all of it, and so get a copy
            if not os.fork():
                listener.close()
                _answer(client)
                os._exit(0)


def _answer(client: socket.socket) -> None:
    """Runs what the client asks for and tells it the exit code; ends it where the client is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    asked = json.loads(client.makefile().readline())
    process = FORK.Process(target=_run, args=(client, files, asked))
    process.start()
    for file in files:
        os.close(file)
    if process.sentinel in wait([client, process.sentinel]):
        process.join()
        client.sendall(b"%d\n" % process.exitcode)
    else:
        process.kill()


def _run(client: socket.socket, files: list[int], asked: dict[str, Any]) -> None:
    """Becomes the process that was asked for."""
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (multiprocessing has put another in its place)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.executable = asked["executable"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    is_module = asked["arguments"][0] == "-m"
    sys.argv = asked["arguments"][is_module:]
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, asked["folder"] if is_module else os.path.dirname(sys.argv[0]))
    try:
        if is_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing runs its own only


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
