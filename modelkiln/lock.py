"""dvc.lock, held to the code and the params that it was made from: by their digests alone, so that no data is needed.

`dvc repro --dry --allow-missing` says much of this too, but its exit code is 0 where the first stage would run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelkiln.errors import ModelkilnError, one_line, raise_all

LOCK = Path("dvc.lock")
ABSENT = ("deleted", "not in cache")  # how DVC says that an output is not here, which a fresh clone's never are


def check(targets: Sequence[str] = ()) -> None:
    """Raises a ModelkilnError that names each stage for which dvc.lock is older than its code, params or inputs.

    Args:
        targets: The stages to look at, with those that they depend on; none: all.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json", *(["--with-deps", *targets] if targets else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        status = json.loads(done.stdout)
        lock = yaml.safe_load(LOCK.read_text(encoding="utf-8"))
        if not isinstance(lock, dict) or not isinstance(lock.get("stages"), dict):
            raise ValueError(f"{LOCK} names no stages")
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = done.stderr.strip() or one_line(error)
        raise ModelkilnError(f"can't compare {LOCK} with dvc.yaml: {one_line(said)}") from error
    raise_all(
        f"{LOCK} is not of what is here (run `{' '.join(['dvc repro', *targets])}` and commit {LOCK})",
        [*sorted(stale(status)), *torn(lock["stages"], targets)],
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


def torn(stages: dict[str, Any], targets: Sequence[str] = ()) -> Iterator[str]:
    """Where a stage was run on another output than the one that dvc.lock names: two locks merged by hand."""
    made = {out["path"]: (name, out["md5"]) for name, stage in stages.items() for out in stage.get("outs", ())}
    waiting, seen = [*(targets or stages)], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in stages:
            continue
        seen.add(name)
        for dep in stages[name].get("deps", ()):
            maker, md5 = made.get(dep["path"], (name, dep["md5"]))
            waiting.append(maker)
            if md5 != dep["md5"]:
                yield f"{name}: {dep['path']} is not what {maker} has made"
