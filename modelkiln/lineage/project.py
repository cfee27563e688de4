"""What the project's own git and DVC can tell: which commit, what stood in it, what a stage had written then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.git import git
from modelkiln.lineage import Unknown
from modelkiln.registration import lock_md5_of

HERE = "here"  # in the project's folder, and in no commit
LOCK = Path("dvc.lock")
MOST = 50  # commits that are searched for the dvc.lock of a run, which is committed after it


class _Loader(yaml.SafeLoader):
    """Takes 1e-05, as DVC writes it, for the number that it is in YAML 1.2, and not for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def commit_of(text: str) -> str | None:
    """The commit that a branch, a tag or a part of a hash stands for, or None where it stands for none."""
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")


def committed(commit: str, path: str) -> str | None:
    """The text of a file in git, or None where the commit has no such file. The path is relative to this folder."""
    return git("show", f"{commit}:./{path}")


def made(path: str, commit: str) -> str:
    """The text of a file that a stage had written at a commit, from DVC's cache or its remote.

    Raises:
        ModelkilnError: neither has it, or there is no DVC.
    """
    try:
        from dvc import api

        return str(api.read(path, rev=commit, encoding="utf-8"))
    except Exception as error:  # DVC's, its storage's and its remotes' errors have no common class
        raise ModelkilnError(f"DVC has no {path} of {commit[:12]}: {one_line(error)}") from error


def find_lock(md5: str, git_commit: str) -> tuple[str, str] | Unknown:
    """The dvc.lock of a run, and the commit that holds it, or HERE.

    Args:
        md5: What the run's lineage says of it.
        git_commit: The commit that it ran at.
    """
    if LOCK.exists() and _is(md5, text := LOCK.read_text(encoding="utf-8")):
        return text, HERE
    if commit_of(git_commit) is None:
        return Unknown(f"no git repository here has the commit {git_commit[:12]}, at which it ran")
    later = git("log", "--all", "--reverse", "--ancestry-path", "--format=%H", f"{git_commit}..", "--", str(LOCK))
    for commit in [git_commit, *(later or "").split()[:MOST]]:
        if (found := committed(commit, str(LOCK))) and _is(md5, found):
            return found, commit
    return Unknown(f"no commit after {git_commit[:12]} has the dvc.lock of that run: never committed, or not fetched")


def params_in(lock: str) -> dict[str, Any]:
    """The sections of params.yaml with which the stages of a dvc.lock ran."""
    sections: dict[str, Any] = {}
    for stage in (yaml.load(lock, _Loader).get("stages") or {}).values():  # noqa: S506 (a SafeLoader)
        sections |= (stage.get("params") or {}).get("params.yaml") or {}
    return sections


def _is(md5: str, lock: str) -> bool:
    try:
        return lock_md5_of(lock) == md5
    except (AttributeError, TypeError, yaml.YAMLError):  # committed with the marks of a conflict in it
        return False
