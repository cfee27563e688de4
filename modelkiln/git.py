"""What git says of the project, where there is git."""

from __future__ import annotations

import subprocess


def git(*arguments: str) -> str | None:
    """What git answers, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
