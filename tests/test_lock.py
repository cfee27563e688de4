"""dvc.lock is held to the code, the params and itself, in a clone that has none of the data."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from imports import ROOT

from modelkiln import ModelkilnError, lock, registration


@pytest.fixture(scope="module")
def ran_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two stages that have run: of all that they made, dvc.lock is here alone."""
    folder = tmp_path_factory.mktemp("ran-elsewhere")
    (folder / "code.py").write_text("1")
    (folder / "params.yaml").write_text("first: {size: 1}\nsecond: {size: 2}\n")
    first = {"cmd": "echo a > a", "deps": ["code.py"], "params": ["first"], "outs": ["a"]}
    second = {"cmd": "mkdir -p b && cp a b/a", "deps": ["a"], "params": ["second"], "outs": [{"b/a": {"cache": False}}]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"first": first, "second": second}}))
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True, capture_output=True)
    (folder / "a").unlink()
    shutil.rmtree(folder / "b")
    shutil.rmtree(folder / ".dvc" / "cache")
    return folder


@pytest.fixture
def fresh(ran_elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    monkeypatch.chdir(shutil.copytree(ran_elsewhere, tmp_path / "fresh"))
    return Path.cwd()


def edit(name: str, before: str, after: str) -> None:
    text = Path(name).read_text()
    assert before in text
    Path(name).write_text(text.replace(before, after))


def test_lock_that_fits_passes_without_any_data(fresh: Path) -> None:
    lock.check()


def test_each_stale_stage_is_named_with_what_changed(fresh: Path) -> None:
    edit("code.py", "1", "2")
    edit("params.yaml", "size: 2", "size: 3")
    edit("dvc.yaml", "echo a", "echo  a")
    (fresh / "a").write_text("another")
    with pytest.raises(ModelkilnError, match=r"dvc\.lock is not of what is here \(run `dvc repro`") as raised:
        lock.check()
    assert set(str(raised.value).splitlines()[1:]) == {
        "  - first: code.py modified",
        "  - first: changed command",
        "  - second: params.yaml second modified",
        "  - second: a modified",
    }


def test_stage_that_was_not_asked_for_may_be_stale(fresh: Path) -> None:
    """Whoever can't register leaves `upload` to those who can."""
    edit("params.yaml", "size: 2", "size: 3")
    lock.check(["first"])
    edit("code.py", "1", "2")
    with pytest.raises(
        ModelkilnError, match=r"(?s)run `dvc repro second` and .*first: code\.py .*second: params\.yaml"
    ):
        lock.check(["second"])


def test_lost_code_is_not_taken_for_absent_data(fresh: Path) -> None:
    (fresh / "code.py").unlink()
    with pytest.raises(ModelkilnError, match=r"first: code\.py deleted$"):
        lock.check()


def test_locks_that_were_merged_by_hand_are_told() -> None:
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    assert list(lock.torn(stages)) == []
    (out,) = stages["compile"]["outs"]
    out["md5"] = "0" * 32 + ".dir"
    assert list(lock.torn(stages)) == [
        "validate: artifacts/compiled is not what compile has made",
        "upload: artifacts/compiled is not what compile has made",
    ]
    assert list(lock.torn(stages, ["validate"])) == ["validate: artifacts/compiled is not what compile has made"]
    assert list(lock.torn(stages, ["compile"])) == []
    (out,) = stages["download"]["outs"]
    out["md5"] = "0" * 32 + ".dir"
    assert "compile: artifacts/source is not what download has made" in lock.torn(stages, ["validate"])


def test_folder_without_a_pipeline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ModelkilnError, match=r"can't compare dvc\.lock with dvc\.yaml: .*not inside of a DVC"
    ) as raised:
        lock.check()
    assert "\n" not in str(raised.value)


def test_damaged_lock_is_one_line(fresh: Path) -> None:
    (fresh / "dvc.lock").write_text("stages: [")
    with pytest.raises(ModelkilnError, match=r"can't compare dvc\.lock") as raised:
        lock.check()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "stages: 3"])
def test_lock_that_names_no_stages_is_one_line(text: str, fresh: Path) -> None:
    (fresh / "dvc.lock").write_text(text)
    with pytest.raises(ModelkilnError, match=r"can't compare dvc\.lock with dvc\.yaml"):
        lock.check()
    assert len(registration.lock_md5_of(text)) == 32
