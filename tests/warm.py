"""`python -m MODULE …` in a process of its own that has imported torch and its like already, which takes seconds.

It is forked from one that has imported them, and nothing of ours; its environment, its arguments and our modules are
those of a process that was started in the usual way.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from modelkiln import suite

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["torch", "transformers", "sentence_transformers", "keybert"])


def run(command: Sequence[str], env: Mapping[str, str], **_: object) -> subprocess.CompletedProcess[str]:
    """Like subprocess.run for [sys.executable, "-m", module, …]; what it prints is lost."""
    assert list(command[:2]) == [sys.executable, "-m"]
    process = SERVER.Process(target=_main, args=(list(command[2:]), dict(env)))
    process.start()
    process.join()
    assert process.exitcode is not None
    return subprocess.CompletedProcess(command, process.exitcode)


@contextmanager
def suite_starts_warm() -> Iterator[None]:
    """The suite of checks runs in such a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "subprocess", SimpleNamespace(run=run))
        yield


def _main(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
