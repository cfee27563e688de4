"""What `modelkiln clean-cache` removes, and everything that it must not."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from modelkiln import ModelkilnError, dvc_cache

pytestmark = pytest.mark.pipeline


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def put(text: str, commit: bool = True) -> None:
    """Another content of the folder `data`, known to DVC and, where it is committed, to git."""
    shutil.rmtree("data", ignore_errors=True)
    Path("data").mkdir()
    Path("data/file").write_text(text)
    with Repo() as repo:
        repo.add("data")
    git("add", "data.dvc", ".gitignore")
    if commit:
        git("commit", "-qm", text)


def path_of(text: str) -> Path:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]


def held(*texts: str) -> list[str]:
    """Those whose file is in the cache."""
    return [text for text in texts if path_of(text).exists()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one commit; `old` was needed once."""
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "fetched"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git("init", "-q", "-b", "main")
    git("config", "user.email", "test@example.org")
    git("config", "user.name", "test")
    Repo.init().close()
    put("old")
    put("main")
    yield folder
    # Its files are read-only for its owner.
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)


def test_everything_that_something_needs_stays(project: Path) -> None:
    git("tag", "light")
    put("tagged")
    git("tag", "-a", "annotated", "-m", "a release")
    git("checkout", "-q", "-b", "feature")
    put("branch")
    put("theirs")
    git("update-ref", "refs/remotes/origin/theirs", "HEAD")
    git("reset", "-q", "--hard", "HEAD^")
    put("stashed first", commit=False)
    git("stash", "-q")
    put("stashed last", commit=False)
    git("stash", "-q")
    put("experiment", commit=False)
    with Repo() as repo:
        repo.experiments.save(name="kept", force=True)
    git("checkout", "-q", "-f", "--detach", "light")
    put("detached")
    put("of the workspace", commit=False)
    needed = ("main", "tagged", "branch", "theirs", "stashed first", "stashed last", "experiment", "detached")
    assert held(*needed, "of the workspace", "old") == [*needed, "of the workspace", "old"]

    dry = dvc_cache.clean(dry=True)
    assert (dry.objects, dry.left) == (2, 18)  # each text has a list of its folder
    assert held("old") == ["old"]
    assert dvc_cache.clean() == dry
    assert held(*needed, "of the workspace", "old") == [*needed, "of the workspace"]
    assert dvc_cache.clean().objects == 0
    # They are whole: with their lists, too.
    git("checkout", "-q", "-f", "refs/remotes/origin/theirs")
    with Repo() as repo:
        repo.checkout(force=True)
    assert Path("data/file").read_text() == "theirs"


def test_commit_that_can_not_be_read_keeps_everything(project: Path) -> None:
    git("checkout", "-q", "-b", "broken")
    Path("dvc.yaml").write_text("stages: [")
    git("add", "dvc.yaml")
    git("commit", "-qm", "broken")
    git("checkout", "-q", "main")
    with pytest.raises(ModelkilnError, match=r"^nothing was removed: .*dvc\.yaml") as raised:
        dvc_cache.clean()
    assert "\n" not in str(raised.value)
    assert held("old", "main") == ["old", "main"]


def test_folder_whose_list_is_lost_keeps_everything(project: Path) -> None:
    """There would be no telling which of the files are its."""
    git("checkout", "-q", "-b", "feature")
    put("branch")
    (out,) = yaml.safe_load(Path("data.dvc").read_text())["outs"]
    Path(".dvc/cache/files/md5", out["md5"][:2], out["md5"][2:]).unlink()
    git("checkout", "-q", "main")
    with pytest.raises(ModelkilnError, match=r"^nothing was removed: .*\bdata\b.*: make it again there") as raised:
        dvc_cache.clean()
    assert "\n" not in str(raised.value)
    assert held("old", "main", "branch") == ["old", "main", "branch"]


def test_clone_that_pulled_nothing_takes_the_lists_from_the_remote(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repo() as repo:
        with repo.config.edit() as settings:
            settings["remote"] = {"team": {"url": str(project.parent / "remote")}}
            settings["core"] = {"remote": "team"}
        repo.push()
    git("commit", "-qam", "name the remote")
    clone = project.parent / "clone"
    git("clone", "-q", str(project), str(clone))
    monkeypatch.chdir(clone)
    assert dvc_cache.clean().objects == 0
    with Repo() as repo:
        repo.pull()
    assert dvc_cache.clean().objects == 0
    assert held("main") == ["main"]


def _queued(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: {a: {cmd: echo a > a, outs: [a]}}")
    git("add", "dvc.yaml")
    git("commit", "-qm", "a stage")
    with Repo() as repo:
        repo.experiments.run(queue=True)


def _beside(project: Path) -> None:
    (project / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1").mkdir(parents=True)


def _cell(project: Path) -> None:
    (Path(os.environ["MODELKILN_CACHE"]) / "sweep" / "clones" / "cell-1").mkdir(parents=True)


def _shared(project: Path) -> None:
    with Repo() as repo, repo.config.edit("local") as settings:
        settings["cache"] = {"dir": str(project.parent / "shared")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_queued, "experiments wait or run in DVC's queue"),
        (_beside, "an experiment runs in .*tmp1; where none does, remove that folder"),
        (_cell, "a sweep's cell runs in .*cell-1; where none does, remove that folder"),
        (_shared, "where other projects may share it: name each with --project"),
    ],
)
def test_nothing_is_removed_while_there_is_no_telling_what_is_needed(
    change: Callable[[Path], None], said: str, project: Path
) -> None:
    change(project)
    with pytest.raises(ModelkilnError, match=f"^nothing was removed: .*{said}"):
        dvc_cache.clean()
    assert held("old", "main") == ["old", "main"]


def test_what_another_project_needs_of_a_shared_cache_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = project.parent / "other"
    git("clone", "-q", str(project), str(other))
    for folder in (other, project):
        monkeypatch.chdir(folder)
        git("config", "user.email", "test@example.org")
        git("config", "user.name", "test")
        with Repo() as repo, repo.config.edit("local") as settings:
            settings["cache"] = {"dir": str(project / ".dvc" / "cache")}
    monkeypatch.chdir(other)
    put("other's")
    monkeypatch.chdir(project)
    dvc_cache.clean([other])
    assert held("old", "main", "other's") == ["main", "other's"]
    dvc_cache.clean()
    assert held("main", "other's") == ["main"]


def test_what_another_worktree_has_not_committed_stays(project: Path, tmp_path: Path) -> None:
    """dvc#7610. It uses this project's cache, as its config says, and nobody has named it."""
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    config = f"[cache]\n    dir = {project}/.dvc/cache\n"
    (tmp_path / "side" / ".dvc" / "config.local").write_text(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "side")
        Path("data").mkdir(exist_ok=True)
        Path("data/file").write_text("only there")
        with Repo() as repo:
            repo.add("data")
    dvc_cache.clean()
    assert held("only there", "main", "old") == ["only there", "main"]


def test_file_that_some_workspace_holds_by_a_link_stays(project: Path, tmp_path: Path) -> None:
    os.link(path_of("old"), tmp_path / "held")
    dvc_cache.clean()
    assert held("main", "old") == ["main", "old"]


def test_folder_that_is_no_project_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelkilnError, match="nothing was removed: you are not inside of a DVC repository") as raised:
        dvc_cache.clean()
    assert "\n" not in str(raised.value)
