"""dvc.lock, held to the code and the params that it was made from: by their digests alone, so that no data is needed.

`dvc repro --dry --allow-missing` says much of this too, but its exit code is 0 where the first stage would run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modelkiln.errors import ModelkilnError, one_line, raise_all

LOCK = Path("dvc.lock")
ABSENT = ("deleted", "not in cache")  # how DVC says that an output is not here, which a fresh clone's never are


def check() -> None:
    """Raises a ModelkilnError that names each stage for which dvc.lock is older than its code, params or inputs."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        status = json.loads(done.stdout)
        lock = yaml.safe_load(LOCK.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = done.stderr.strip() or one_line(error)
        raise ModelkilnError(f"can't compare {LOCK} with dvc.yaml: {one_line(said)}") from error
    raise_all(
        f"{LOCK} is not of what is here (run `dvc repro` and commit {LOCK})",
        [*stale(status), *torn(lock["stages"])],
    )


def stale(status: dict[str, list[Any]]) -> Iterator[str]:
    """What `dvc status --json` says, a line for each change, apart from data that is not here."""
    entries = [(stage, entry) for stage, found in status.items() for entry in found]
    outs = {
        path: state
        for _, entry in entries
        if isinstance(entry, dict)
        for path, state in entry.get("changed outs", {}).items()
    }
    absent = {Path(path) for path, state in outs.items() if state in ABSENT}
    for stage, entry in entries:
        if not isinstance(entry, dict):  # "changed command"
            yield f"{stage}: {entry}"
            continue
        for path, state in {**entry.get("changed deps", {}), **entry.get("changed outs", {})}.items():
            # Of a params file, {key: state}.
            states = state.items() if isinstance(state, dict) else [("", state)]
            made_elsewhere = not absent.isdisjoint([Path(path), *Path(path).parents])
            yield from (
                f"{stage}: {path} {key}{' ' if key else ''}{how}"
                for key, how in states
                if not (made_elsewhere and how in ABSENT)
            )


def torn(stages: dict[str, Any]) -> Iterator[str]:
    """Where a stage was run on another output than the one that dvc.lock names: two locks merged by hand."""
    made = {out["path"]: (name, out["md5"]) for name, stage in stages.items() for out in stage.get("outs", ())}
    for name, stage in stages.items():
        for dep in stage.get("deps", ()):
            maker, md5 = made.get(dep["path"], (name, dep["md5"]))
            if md5 != dep["md5"]:
                yield f"{name}: {dep['path']} is not what {maker} has made"
