"""What DVC's cache holds and nothing needs any more.

`dvc gc` keeps what local branches and tags need. The branches of others, which git has as `refs/remotes`, what is
stashed, and cells that wait in a queue or run beside it would lose their files.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.git import git
from modelkiln.progress import say
from modelkiln.sweep import attempt

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or would be."""

    objects: int
    megabytes: float
    left: int  # objects
    commits: int  # that were asked what they need


def clean(others: Sequence[Path] = (), *, dry: bool = False) -> Cleaned:
    """Removes from the cache what no branch, tag, experiment, stash or workspace of a project needs.

    Nothing is removed from a DVC remote.

    Args:
        others: Folders of projects that share the cache, whose needs count, too.
        dry: Only says what would be removed.

    Raises:
        ModelkilnError: there is no telling what is needed: a commit can't be read, something is running, or the cache
            is shared and nobody says with whom. Nothing was removed then.
    """
    from dvc.exceptions import CollectCacheError, DvcException
    from dvc.repo import Repo

    _check_that_no_cell_runs()
    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with ExitStack() as stack:
            folders = dict.fromkeys(folder.resolve() for folder in (Path.cwd(), *others, *_worktrees()))
            projects = [stack.enter_context(Repo(str(folder))) for folder in folders]
            for project in projects:
                stack.enter_context(project.lock)
                _check_that_nothing_runs(project)
            if not others:
                _check_that_it_is_alone(projects[0])
            commits = [commits_in_use(Path(project.root_dir)) for project in projects]
            number = len(set().union(*commits))
            say(f"asking {number} commits what they need")
            needed = set().union(*map(_needed, projects, commits))
            return _remove(projects[0], needed, number, dry=dry)
    except DvcException as error:
        causes = _causes(error)
        said = ": ".join(dict.fromkeys(map(one_line, causes)))
        if any(isinstance(each, CollectCacheError) for each in causes):
            said += (
                "; the folder's list is neither in the cache nor on a remote: make it again there (`dvc repro`), or "
                "let who has it `dvc push` it"
            )
        raise ModelkilnError(f"nothing was removed: {said}") from error


def commits_in_use(folder: Path) -> list[str]:
    """The commits that a ref of any kind names, HEAD's, and those of what is stashed or waits in DVC's queue."""
    where = ("-C", str(folder))
    listed = git(*where, "for-each-ref", "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname)")
    if listed is None:
        raise ModelkilnError(
            f"nothing was removed: {folder} is no git repository, so there is no telling what is needed"
        )
    found = {git(*where, "rev-parse", "--verify", "--quiet", "HEAD") or ""}
    for line in listed.splitlines():
        words = line.split()
        found.update(name for kind, name in zip(words[::2], words[1::2], strict=True) if kind == "commit")
    for ref in (git(*where, "for-each-ref", "--format=%(refname)") or "").split():
        if ref.endswith("stash"):  # its log holds the others
            found.update((git(*where, "log", "--walk-reflogs", "--format=%H", ref) or "").split())
    return sorted(found - {""})


def _worktrees() -> list[Path]:
    """The other working trees of this repository in which there is a project: they may share the cache."""
    lines = (git("worktree", "list", "--porcelain") or "").splitlines()
    folders = [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")]
    return [folder for folder in folders if (folder / ".dvc").is_dir()]


def _needed(repo: Repo, commits: Sequence[str]) -> set[str]:
    """The digests of what commits need, and the workspace, and every commit of the experiments."""
    used = repo.used_objs(revs=list(commits), all_experiments=True)
    return {each.value for found in used.values() for each in found if each.value}


def _remove(repo: Repo, needed: set[str], commits: int, *, dry: bool) -> Cleaned:
    objects, size, left = 0, 0, 0
    for cache in (repo.cache.local, repo.cache.legacy):
        unused = []
        for name in cache.all():
            path = cache.oid_to_path(name)
            # More links than the cache's own: some workspace holds it, of whatever project, and DVC was told to link.
            if name in needed or Path(path).stat().st_nlink > 1:
                left += 1
            else:
                unused.append(path)
        # Lists of folders first: without its list nobody takes what is left of a folder for whole.
        unused.sort(key=lambda path: not str(path).endswith(".dir"))
        objects += len(unused)
        size += sum(Path(path).stat().st_size for path in unused)
        if unused and not dry:
            cache.fs.remove(unused)
    return Cleaned(objects, size / 1e6, left, commits)


def _check_that_nothing_runs(repo: Repo) -> None:
    queue = repo.experiments.celery_queue
    if any(True for entries in (queue.iter_queued(), queue.iter_active()) for _ in entries):
        raise ModelkilnError(
            "nothing was removed: experiments wait or run in DVC's queue, and what they write belongs to no commit "
            "yet; `dvc queue status` shows them"
        )
    exps = Path(repo.root_dir) / ".dvc" / "tmp" / "exps"
    for folder in sorted([*exps.glob("tmp*"), *exps.glob("standalone/tmp*")]):  # beside the workspace
        raise ModelkilnError(
            f"nothing was removed: an experiment runs in {folder}; where none does, remove that folder and try again"
        )


def _check_that_no_cell_runs() -> None:
    """A sweep's cells on this machine run in clones that share the cache."""
    clones = attempt.scratch() / "clones"
    for folder in sorted(clones.glob("*")):
        raise ModelkilnError(
            f"nothing was removed: a sweep's cell runs in {folder}; where none does, remove that folder and try again"
        )


def _check_that_it_is_alone(repo: Repo) -> None:
    local = Path(repo.cache.local.path).resolve()
    if Path(repo.root_dir).resolve() not in local.parents:
        raise ModelkilnError(
            f"nothing was removed: the cache is in {local.parent.parent}, where other projects may share it: name each "
            "with --project, `--project .` where there is no other"
        )


def _causes(error: BaseException | None) -> list[BaseException]:
    """A failure with what caused it: DVC's own line says only which commit."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found
