"""Processes that a test interrupts."""

from __future__ import annotations

import signal


def heed_ctrl_c() -> None:
    """Of Popen's `preexec_fn`: a script's background jobs, pytest perhaps, ignore it, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
