"""`modelkiln clean-cache`: room on the disk, at no cell's cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def clean_cache(
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would be removed.")] = False,
    project: Annotated[
        list[Path] | None,
        typer.Option(help="Another project that shares the cache, whose needs count, too; repeatable."),
    ] = None,
) -> None:
    """Remove from DVC's cache what no branch, tag, experiment, stash or workspace needs; never from a remote.

    Of branches it knows those that git has here, of other people's too: `git fetch` first. Refuses while cells run.

    Example: `modelkiln clean-cache --dry`
    """
    from modelkiln import dvc_cache

    done = dvc_cache.clean(project or [], dry=dry)
    print(
        f"{'would remove' if dry else 'removed'} {done.objects} objects, {done.megabytes:.1f} MB; "
        f"{done.left} are needed by {done.commits} commits and the workspace"
    )
