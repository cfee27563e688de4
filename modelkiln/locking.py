"""Locks between the processes of one machine, which say who holds them, and who has waited for how long."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelkiln.errors import ModelkilnError
from modelkiln.progress import say

SECONDS_BETWEEN_WORDS = 5.0  # while another process has a lock
MOST_PATIENCE = 3600.0  # seconds: an upload of gigabytes takes minutes


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps out the other threads and processes of this machine that lock the same path, until the block ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    started = time.monotonic()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                lock.acquire(timeout=SECONDS_BETWEEN_WORDS)
                break
            except Timeout:
                waited = time.monotonic() - started
                if waited > MOST_PATIENCE:
                    raise ModelkilnError(
                        f"{path}: {_holder(path)} has held this lock for {waited / 60:.0f} minutes and more; wait for "
                        "it, or stop it, and run this again"
                    ) from None
                say(f"waiting for {_holder(path)}, which works on the same ({path}): {waited:.0f} s so far")
    except OSError as error:
        raise ModelkilnError(
            f"{path}: can't write here: {error.strerror}; name a folder that you may write to in MODELKILN_CACHE"
        ) from error
    try:
        with suppress(OSError):
            path.with_name(f"{path.name}.holder").write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who has a lock, as far as it has said so."""
    try:
        return path.with_name(f"{path.name}.holder").read_text(encoding="utf-8")[:200]
    except (OSError, ValueError):
        return "another process"
