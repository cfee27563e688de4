"""Processes beside a proof: those that keep the machine busy, and those that an interrupt has left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Ends by itself when its parent is gone, even if that was killed.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(1_000_000))"


@contextmanager
def no_orphans() -> Iterator[None]:
    """Ends, where Linux names them, the processes that an interrupt left running.

    One that comes while a process is being started finds nobody yet who would end it, and it would write its reports
    into a folder that is gone by then.
    """
    before = _children()
    try:
        yield
    finally:
        for child in _children() - before:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _children() -> set[int]:
    return {int(child) for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}


@contextmanager
def busy_machine() -> Iterator[None]:
    """As many processes as there are cores, that do nothing and never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
