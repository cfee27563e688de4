"""What git says of the project, where there is git."""

from __future__ import annotations

import subprocess

from modelkiln.errors import ModelkilnError


def git(*arguments: str) -> str | None:
    """What git answers, or None where there is no git, no repository or no commit.

    Raises:
        ModelkilnError: the repository is another user's, of which git says nothing until it is told to trust it.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return None
    if "dubious ownership" in done.stderr:
        raise ModelkilnError(
            "git: this folder belongs to another user, so git says nothing of it, and a lineage would lack its commit; "
            'if you trust it: git config --global --add safe.directory "$PWD"'
        )
    return done.stdout.strip() if done.returncode == 0 else None
