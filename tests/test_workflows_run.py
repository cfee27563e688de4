"""The workflows' jobs, run step by step on this machine, against a remote in a folder; see workflows.Runner."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from clone import Clone, make_clone, stages_that_ran
from sources import hub_server
from sources.hub_server import COMMIT, NEWER, REPO
from workflows import Runner, with_environment

import modelkiln
from modelkiln.files import relative_files, sha256

pytestmark = [pytest.mark.heavy, pytest.mark.pipeline]
SAME_REPOSITORY = "vars.DVC_REMOTE && github.event.pull_request.head.repo.full_name == github.repository"


@pytest.fixture(scope="module")
def origin(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the tiny model is the default, and the dvc.lock of a run is committed."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "author").mkdir()
    author = make_clone(folder / "author", tiny_model)
    for before, after in (
        ("model: all-MiniLM-L6-v2", "model: tiny"),
        ("modelkiln/checks/golden.jsonl", "golden.jsonl"),
        ("profile_rounds: 2", "profile_rounds: 0"),
    ):
        author.edit("conf/config.yaml", lambda text, before=before, after=after: text.replace(before, after))
    author.modelkiln("compose", "--only", "params")
    author.repro("validate")
    commit(author, "the project, run")
    author.run("git", "branch", "-M", "main")
    author.run("git", "clone", "-q", "--bare", ".", str(folder / "origin.git"))
    return folder / "origin.git"


@pytest.fixture(scope="module")
def remote(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What main's job has pushed."""
    folder = tmp_path_factory.mktemp("remote")
    runner = runner_for(check_out(origin, folder / "main"), folder / "remote")
    done = runner.job("main", "pipeline")
    assert done.returncode == 0, done.stdout
    assert stages_that_ran(done) == ["download", "compile", "validate", "upload"]
    assert "keywords-tiny@champion, version 1" in runner.summary
    names = [name for _, _, name in runner.ran]
    assert names.index("Push it, before anything is registered that would point there") < names.index("Register it")
    return folder / "remote"


def check_out(origin: Path, folder: Path) -> Clone:
    """What actions/checkout gives, with all of the history, and actions/setup."""
    subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True)
    clone = with_environment(Clone(folder))
    clone.run("git", "config", "user.email", "test@example.org")
    clone.run("git", "config", "user.name", "test")
    return clone


def runner_for(clone: Clone, remote: Path | None, **environment: str) -> Runner:
    """A runner that is told of the remote; None: of none, as for a fork's pull request."""
    told = {
        "inputs.cache": "pip",
        "matrix.backend": "generic",
        "secrets.MLFLOW_TRACKING_TOKEN": "",
        "steps.kept.outputs.artifact-url": "https://example.org/artifact",
        "vars.AWS_REGION": "",
        "vars.AWS_ROLE_READ": "",
        "vars.AWS_ROLE_WRITE": "",
        "vars.DVC_REMOTE": str(remote),
        "vars.MLFLOW_TRACKING_URI": "",
    }
    return Runner(clone, told, {SAME_REPOSITORY: remote is not None}, environment)


def commit(clone: Clone, message: str) -> None:
    clone.run("git", "add", ".")
    clone.run("git", "commit", "-qm", message)


def test_pull_request_that_changes_no_stage_runs_none_and_writes_nothing(
    origin: Path, remote: Path, tmp_path: Path
) -> None:
    clone = check_out(origin, tmp_path / "clone")
    clone.edit("README.md", lambda text: text + "More.\n")
    commit(clone, "say more")
    before = {name: sha256(remote / name) for name in relative_files(remote)}
    runner = runner_for(clone, remote)
    done = runner.job("pull-request", "pipeline")
    assert done.returncode == 0, done.stdout
    assert stages_that_ran(done) == []
    assert re.search(r"\| reports/validation/metrics\.json \| f1 +\| 0\.\d+ +\| 0\.\d+ +\| 0\.0 ", runner.summary)
    assert "[Plots beside main's, and the report](https://example.org/artifact)" in runner.summary
    assert (clone.folder / "plots" / "index.html").is_file()
    assert (clone.folder / "reports" / "validation" / "report.html").is_file()
    assert {name: sha256(remote / name) for name in relative_files(remote)} == before


def test_pull_request_whose_author_ran_it_runs_what_the_remote_lacks(
    origin: Path, remote: Path, tmp_path: Path
) -> None:
    """Nobody but main's job may write to the remote, so the author's dvc.lock names a verdict that is nowhere else."""
    author = check_out(origin, tmp_path / "author")
    author.run("dvc", "remote", "add", "--local", "--default", "prod", str(remote))
    author.edit("conf/validation/strict.yaml", lambda text: text.replace("score_atol: 1.0e-4", "score_atol: 2.0e-4"))
    author.modelkiln("compose", "--only", "params")
    author.run("dvc", "repro", "--pull", "validate")
    commit(author, "allow twice the difference")
    clone = check_out(author.folder, tmp_path / "clone")
    clone.run("git", "remote", "add", "theirs", str(origin))
    clone.run("git", "fetch", "-q", "theirs", "main:refs/remotes/origin/main", "--force")
    runner = runner_for(clone, remote)
    done = runner.job("pull-request", "pipeline")
    assert done.returncode == 0, done.stdout
    assert stages_that_ran(done) == ["validate"]
    # Main's figures come from the remote.
    assert re.search(r"\| reports/validation/metrics\.json \| f1 +\| 0\.\d+ +\| 0\.\d+ +\| 0\.0 ", runner.summary)


def test_pull_request_with_a_stale_lock_stops_before_anything_runs(origin: Path, remote: Path, tmp_path: Path) -> None:
    clone = check_out(origin, tmp_path / "clone")
    clone.edit("modelkiln/worker.py", lambda text: text + "\n# changed\n")
    commit(clone, "change the worker")
    done = runner_for(clone, remote).job("pull-request", "pipeline")
    assert done.returncode == 1
    assert "dvc.lock is not of what is here" in done.stdout
    assert "compile: modelkiln/worker.py modified" in done.stdout
    assert stages_that_ran(done) == []


def test_pull_request_of_a_fork_does_without_the_remote(origin: Path, tmp_path: Path) -> None:
    runner = runner_for(check_out(origin, tmp_path / "clone"), None)
    done = runner.job("pull-request", "pipeline")
    assert done.returncode == 0, done.stdout
    assert stages_that_ran(done) == ["download", "compile", "validate"]
    assert not [place for place in runner.ran if place[0] == "remote"]
    assert re.search(r"\| reports/validation/metrics\.json \| f1 ", runner.summary)


def test_backend_of_the_matrix_is_compiled_and_judged_from_the_start(origin: Path, tmp_path: Path) -> None:
    clone = check_out(origin, tmp_path / "clone")
    done = runner_for(clone, None).job("backends", "hosted")
    assert done.returncode == 0, done.stdout
    assert stages_that_ran(done) == ["download", "compile", "validate"]
    assert clone.read("artifacts/compiled/manifest.json")["backend"] == "generic"


@pytest.fixture
def with_hub_model(origin: Path, tmp_path: Path, tiny_model: Path) -> Clone:
    """A clone whose one model of the hub is at COMMIT, with config.json pinned."""
    clone = check_out(origin, tmp_path / "clone")
    option = clone.folder / "conf" / "model" / "paraphrase-multilingual-MiniLM-L12-v2.yaml"
    data = yaml.safe_load(option.read_text())
    data["download"]["sources"] = {"hub": {"repo": REPO, "revision": COMMIT}}
    data["download"]["files"] = {"config.json": sha256(tiny_model / "config.json")}
    option.write_text("# @package _global_\n" + yaml.safe_dump(data))
    commit(clone, "take a model from the hub")
    return clone


@pytest.mark.parametrize("new", [True, False], ids=["newer", "the same"])
def test_newer_revision_of_the_hub_is_committed_to_a_branch(
    new: bool, with_hub_model: Clone, tiny_model: Path, tmp_path: Path
) -> None:
    clone = with_hub_model
    del clone.environment["HF_HUB_OFFLINE"]
    with hub_server.serve(tiny_model) as hub:
        hub.newer = Path(shutil.copytree(tiny_model, tmp_path / "newer"))
        (hub.newer / ("config.json" if new else "README.md")).write_text("{}")
        runner = runner_for(clone, None, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"), NO_PROXY="127.0.0.1")
        done = runner.job("revisions", "look")
    assert done.returncode == 0, done.stdout
    assert NEWER in (clone.folder / "revisions.txt").read_text()
    branch = clone.run("git", "branch", "--show-current").stdout.strip()
    assert branch == ("revisions-1" if new else "main")
    last = clone.run("git", "show", "--stat", "--format=%an: %s").stdout
    assert ("github-actions[bot]: Pin newer revisions from the hub" in last) is new
    assert ("1 file changed" in last) is new


VERSION = modelkiln.__version__


@pytest.mark.parametrize(
    ("tag", "day", "last"),
    [
        (f"v{VERSION}", "2026-12-01", "Hold the changelog to the tag"),
        (f"v{VERSION}", "unreleased", "Hold the changelog to the tag"),
        ("v99.0.0", "2026-12-01", "Hold the tag to the version"),
    ],
)
def test_tag_has_to_be_the_version_of_what_is_built_and_of_the_changelog(
    tag: str, day: str, last: str, origin: Path, tmp_path: Path
) -> None:
    clone = check_out(origin, tmp_path / "clone")
    changelog = re.sub(r"(?m)^(## \[.*\]) - .*$", rf"\1 - {day}", (clone.folder / "CHANGELOG.md").read_text("utf-8"))
    (clone.folder / "CHANGELOG.md").write_text(changelog, "utf-8")
    runner = runner_for(clone, None, GITHUB_REF_NAME=tag)
    done = runner.job("release", "build")
    assert (done.returncode == 0) is (tag == f"v{VERSION}" and day != "unreleased"), done.stdout
    assert runner.ran[-1][2] == last
    built = sorted(path.name for path in (clone.folder / "dist").iterdir())
    assert built == [f"modelkiln-{VERSION}-py3-none-any.whl", f"modelkiln-{VERSION}.tar.gz"]
