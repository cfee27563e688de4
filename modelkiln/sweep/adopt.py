"""A cell's result into the workspace and the registry: the experiment is applied, and the stage upload runs, alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.git import git
from modelkiln.progress import say, step
from modelkiln.registration import Receipt, read_receipt
from modelkiln.sweep import experiments, shell
from modelkiln.sweep.experiments import PASSED, Result

RECEIPT = Path("receipts/upload.json")
UPLOAD = "upload"
FEW = 3  # files that a message names


def adopt(name: str) -> Receipt:
    """Registers what the cell has compiled, and moves the alias to it. Whatever is refused leaves all as it is.

    Args:
        name: Of an experiment on the commit that is checked out.

    Raises:
        ModelkilnError: there is none of that name, or its verdict is not positive; something that is not committed
            would be overwritten; more than the upload would have to run; or the registry failed, after which the
            experiment stays applied.
    """
    result = _find(name)
    _require_clean(result.revision)
    with step(f"applying {name}"):
        _fetch(result.revision)
        _require_clean(result.revision)  # fetching may take minutes, and somebody may work here
        try:
            shell.dvc("exp", "apply", name)
            _require_upload_alone(name)
        except BaseException:
            if edited := _put_back(result.revision):
                say(f"left as they are, since they were edited meanwhile: {', '.join(edited)}")
            raise
    with step("registering"):
        try:
            # By force: the version may be there already, with its alias moved on since.
            shell.dvc("repro", "--force", "--single-item", UPLOAD)
        except ModelkilnError as error:
            raise ModelkilnError(f"{error}; it is applied: that command does the rest") from error
    return read_receipt(RECEIPT)


def _find(name: str) -> Result:
    known = {result.name: result for result in experiments.read()}
    if name not in known:
        passed = [each.name for each in known.values() if each.state == PASSED]
        raise ModelkilnError(
            f"HEAD has no experiment {name!r}; to be adopted there are: {', '.join(passed) or 'none'} "
            "(of another commit: check that out first)"
        )
    result = known[name]
    if result.state != PASSED:
        raise ModelkilnError(f"{name} is not adopted: {result.state}{f': {result.reason}' if result.reason else ''}")
    return result


def _require_clean(revision: str) -> None:
    """Applying overwrites what git tracks, what the experiment has, and what the stages have written."""
    changed = _listed("diff", "--name-only", "HEAD")
    _require_none(changed + _new_here(revision), "`git commit` it, or put it away by `git stash --include-untracked`")
    only_here = sorted(name for name in _data_status().get("not_in_cache", []) if Path(name).exists())
    _require_none(only_here, "DVC's cache has lost it: `dvc commit --force --with-deps validate` puts it there")
    _require_none(sorted(_edited_outputs()), "what the stages have written comes back by `dvc checkout --force`")


def _data_status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.dvc("data", "status", "--json"))
    return found


def _edited_outputs() -> set[str]:
    """The stages' outputs that are not what dvc.lock says."""
    outputs = _data_status().get("uncommitted", {})
    return {*outputs.get("added", []), *outputs.get("modified", [])}


def _require_none(lost: Sequence[str], remedy: str) -> None:
    if lost:
        more = f" and {len(lost) - FEW} more" if len(lost) > FEW else ""
        raise ModelkilnError(f"this would overwrite what is not committed: {', '.join(lost[:FEW])}{more}; {remedy}")


def _listed(*arguments: str) -> list[str]:
    return (git("-c", "core.quotePath=false", *arguments) or "").splitlines()


def _fetch(revision: str) -> None:
    """Brings the experiment's files from the DVC remote, if there is one; those that are here are not asked for."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            if repo.config["core"].get("remote"):
                repo.fetch(revs=[revision], workspace=False)
    except DvcException as error:
        raise ModelkilnError(f"the experiment's files can't be fetched: {one_line(error)}") from error


def _require_upload_alone(name: str) -> None:
    stale = sorted(set(json.loads(shell.dvc("status", "--json"))) - {UPLOAD})
    if stale:
        raise ModelkilnError(
            f"{name} is not adopted: {', '.join(stale)} would have to run again: other files or versions are here"
        )


def _put_back(revision: str) -> list[str]:
    """Brings back what was there before, which is all committed; the names of what has been edited since, and stays."""
    git("reset", "--quiet", "HEAD")
    edited = []
    of_the_experiment = _edited_outputs()
    for name in _listed("diff", "--name-only", "--no-renames", "HEAD", revision):
        committed, applied = (git("rev-parse", "--verify", "--quiet", f"{each}:{name}") for each in ("HEAD", revision))
        here = git("hash-object", name) if Path(name).is_file() else None
        if here not in (committed, applied):
            edited.append(name)
        elif here != committed:
            if committed:
                git("checkout", "--quiet", "HEAD", "--", name)
            else:
                Path(name).unlink()
    outputs = sorted(of_the_experiment & _edited_outputs())  # neither as they were, nor as they are there
    if not outputs:
        shell.dvc("checkout", "--force", "--allow-missing")  # what is in no dvc.lock it removes
    return edited + outputs


def _new_here(revision: str) -> list[str]:
    """The files that are here, HEAD has not, and the experiment has."""
    untracked = _listed("ls-files", "--others", "--exclude-standard")
    return sorted(set(untracked) & set(_listed("ls-tree", "-r", "--name-only", revision)))
