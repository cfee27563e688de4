"""Homes, folders and repositories that are not as one expects: one line that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelkiln import ModelkilnError, env, git, locking
from modelkiln.registries import mlflow
from modelkiln.sources import package


def test_without_a_home_the_cache_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELKILN_CACHE", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    with pytest.raises(ModelkilnError, match="no home folder for the cache; name a folder for it in MODELKILN_CACHE"):
        env.cache_folder()


def test_lock_in_a_place_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelkilnError, match="name a folder that you may write to in MODELKILN_CACHE"):
        locking.locked(tmp_path / "file" / "lock").__enter__()


def test_who_waits_is_told_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locking, "SECONDS_BETWEEN_WORDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locking.locked(tmp_path / "lock"):
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    threading.Timer(0.5, done.set).start()
    with locking.locked(tmp_path / "lock"):
        pass
    assert f"waiting for process {os.getpid()} on " in capsys.readouterr().err
    holder.join()
    monkeypatch.setattr(locking, "MOST_PATIENCE", 0.0)
    held.clear()
    done.clear()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    with pytest.raises(ModelkilnError, match=r"process .* has held this lock for .* wait for it, or stop it"):
        locking.locked(tmp_path / "lock").__enter__()
    done.set()
    holder.join()


def test_repository_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a version would be registered with `git_commit: unknown`, without a word."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own tests do it so
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(ModelkilnError, match=r"this folder belongs to another user.*--add safe\.directory"):
        git.git("status", "--porcelain")


@pytest.mark.parametrize("name", ["50% off", "what?", "no#1"])
def test_database_in_a_folder_that_an_address_can_not_say_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    options = mlflow.Options(f"sqlite:///{tmp_path / name}/mlflow.db", str(tmp_path))
    with pytest.raises(ModelkilnError, match=r"MLflow can't open a database in a folder with . in its name; move the"):
        mlflow.versions("keywords", options)
    assert not list(tmp_path.rglob("*.db"))


def test_python_without_pip_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(returncode=1, stdout="", stderr=f"{sys.executable}: No module named pip\n")

    monkeypatch.setattr(package, "subprocess", SimpleNamespace(run=run))
    with pytest.raises(
        ModelkilnError, match=r"No module named pip, which downloads gt-x: give it one \(`python -m ensurepip`"
    ):
        package._download(package.Options("gt-x", "1.0", "model"), tmp_path)


def test_checkout_has_the_same_bytes_on_every_system() -> None:
    attributes = Path(__file__).parents[1] / ".gitattributes"
    assert "* text=auto eol=lf" in attributes.read_text().splitlines()
