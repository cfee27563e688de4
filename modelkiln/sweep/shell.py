"""DVC's and git's commands, whose failures are one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from modelkiln.errors import ModelkilnError
from modelkiln.git import git
from modelkiln.sweep.reasons import reason_of


def dvc(*arguments: str, folder: Path | None = None) -> str:
    """What a dvc command prints; see run."""
    return run(sys.executable, "-m", "dvc", *arguments, folder=folder)


def run(*command: str, folder: Path | None = None) -> str:
    """What a command prints on standard output.

    Raises:
        ModelkilnError: it failed; says which one, and why, on one line.
    """
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shown = " ".join(part for part in command if part not in (sys.executable, "-m"))
        raise ModelkilnError(f"`{shown}`: {reason_of(done.stdout + done.stderr)}")
    return done.stdout


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a child process that runs stages: their `python` is the one that runs us."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **(more or {})}


def commit(revision: str = "HEAD") -> str:
    """The full name of a commit.

    Raises:
        ModelkilnError: there is none of that name, or no repository here.
    """
    found = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found is None:
        raise ModelkilnError(f"{revision}: no such commit; run this in the project's folder, which git has to know")
    return found
