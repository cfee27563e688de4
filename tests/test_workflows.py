"""The workflows lint, pin what they use, may do no more than they need, and call commands that there are.

What they run is run by test_workflows_run.py, apart from workflows.NOT_HERE.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from commands import check
from dvc.cli import DvcParserError
from imports import ROOT
from typer.exceptions import TyperException
from workflows import ACTIONS, GITHUB, NOT_HERE, OWN, WORKFLOWS, Step, commands, jobs, read, steps, steps_of

# What a job may do beyond reading the repository, and why it must.
MAY = {
    ("pull-request", "pipeline"): {"contents": "read", "id-token": "write"},  # the role that reads the remote
    ("main", "pipeline"): {"contents": "read", "id-token": "write"},  # the role that writes to it
    ("revisions", "look"): {"contents": "write", "pull-requests": "write"},  # a branch, and the pull request
    ("release", "pypi"): {"id-token": "write"},  # trusted publishing
    ("release", "images"): {"contents": "read", "packages": "write"},
    ("release", "notes"): {"contents": "write"},  # the release
}
RUNS = [step for step in steps() if step.run]
RUN_BY_A_TEST = set(
    re.findall(r'\.job\("([\w-]+)", "([\w-]+)"\)', (ROOT / "tests" / "test_workflows_run.py").read_text())
)


def place(step: Step) -> str:
    return " / ".join(filter(None, step.place))


@pytest.mark.parametrize(
    "linter", [["actionlint"], ["zizmor", "--offline", "--quiet", str(GITHUB)]], ids=lambda c: c[0]
)
def test_linter_finds_nothing(linter: list[str]) -> None:
    done = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_linters_would_find_something(tmp_path: Path) -> None:
    """A broken expression, and a shell line that only shellcheck knows to be wrong."""
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    text = (GITHUB / "workflows" / "main.yml").read_text()
    broken = text.replace("run: dvc push", "run: dvc push $UNQUOTED").replace("vars.AWS_REGION", "steps.no.outputs.x")
    (tmp_path / ".github" / "workflows" / "main.yml").write_text(broken)
    done = subprocess.run(
        ["actionlint", "main.yml"], cwd=tmp_path / ".github" / "workflows", capture_output=True, text=True
    )
    assert "SC2086" in done.stdout
    assert '"no"' in done.stdout


def test_every_action_of_others_is_pinned_by_its_commit_beside_its_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in GITHUB.rglob("*.yml"):
        for used, comment in re.findall(r"(?m)^\s*(?:- )?uses: (\S+)(.*)$", path.read_text()):
            if used.startswith(OWN):
                assert used.removeprefix(OWN) in ACTIONS
            else:
                assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", used), used
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), used
                pins.setdefault(used.split("@")[0], set()).add(used + comment)
    assert len(pins) >= 5
    assert all(len(each) == 1 for each in pins.values()), "one action, one version"


def test_no_job_may_do_more_than_it_needs() -> None:
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in WORKFLOWS.values())
    assert {(file, name): job["permissions"] for file, name, job in jobs() if "permissions" in job} == MAY


def test_every_job_ends_in_time_and_knows_its_runner() -> None:
    for file, name, job in jobs():
        assert 0 < job["timeout-minutes"] <= 240, (file, name)
        assert job["runs-on"] in ("ubuntu-24.04", ["self-hosted", "linux", "${{ matrix.label }}"]), (file, name)


def test_runs_of_one_kind_do_not_meet() -> None:
    for file, workflow in WORKFLOWS.items():
        # What has begun to register or to release is let end.
        assert workflow["concurrency"]["cancel-in-progress"] is (file in ("pull-request", "backends")), file


def test_nothing_that_a_pull_request_says_reaches_a_shell_or_a_write_token() -> None:
    assert all("${{" not in step.run for step in RUNS)
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & {
        on for each in WORKFLOWS.values() for on in each["on"]
    }
    for step in steps():
        if step.uses.startswith("actions/checkout@"):
            assert step.data["with"]["persist-credentials"] is False, place(step)
    readers = [step for step in steps() if "AWS_ROLE_READ" in str(step.data)]
    assert [step.file for step in readers] == ["pull-request"]
    assert all("head.repo.full_name == github.repository" in step.data["if"] for step in readers)
    assert {step.file for step in steps() if "secrets." in str(step.data)} == {"main"}


def test_own_runners_take_no_pull_request() -> None:
    own = [(file, job) for file, _, job in jobs() if "self-hosted" in job["runs-on"]]
    assert len(own) == 1
    for _, job in own:
        assert "github.event_name != 'pull_request'" in job["if"]
        labels = {row["label"] for row in job["strategy"]["matrix"]["include"]}
        assert labels == set(read(GITHUB / "actionlint.yaml")["self-hosted-runner"]["labels"])


def test_matrix_has_every_backend_once(tmp_path: Path) -> None:
    (step,) = [step for step in steps_of("backends", "list") if step.run]
    environment = {**os.environ, "GITHUB_OUTPUT": str(tmp_path / "output")}
    subprocess.run(["bash", "-e", "-c", step.run], cwd=ROOT, env=environment, check=True)
    name, _, listed = (tmp_path / "output").read_text().strip().partition("=")
    assert WORKFLOWS["backends"]["jobs"]["list"]["outputs"] == {name: f"${{{{ steps.list.outputs.{name} }}}}"}
    assert json.loads(listed) == sorted(path.stem for path in (ROOT / "conf" / "backend").glob("*.yaml"))
    hosted, own = (WORKFLOWS["backends"]["jobs"][job]["strategy"]["matrix"] for job in ("hosted", "own"))
    assert hosted["backend"] == f"${{{{ fromJSON(needs.list.outputs.{name}) }}}}"
    elsewhere = [row["backend"] for row in own["include"]]
    assert [row["backend"] for row in hosted["exclude"]] == elsewhere
    assert set(elsewhere) < set(json.loads(listed))


def test_python_is_the_one_of_the_toolchain() -> None:
    (step,) = [step for step in steps_of("setup") if step.uses]
    assert step.data["with"]["python-version"] == str(read(ROOT / "toolchain.yaml")["python"])


def test_every_run_line_is_run_by_a_test_or_listed_with_the_reason() -> None:
    run = RUN_BY_A_TEST | {("backends", "list")}  # by the test of the matrix
    elsewhere = {step.place for step in RUNS if step.job and (step.file, step.job) not in run}
    assert elsewhere <= set(NOT_HERE)
    assert set(NOT_HERE) <= {step.place for step in RUNS}


@pytest.mark.parametrize("step", RUNS, ids=place)
def test_run_line_calls_what_there_is(step: Step) -> None:
    for command in commands(step.run):
        try:
            check(command)
        except FileNotFoundError:
            assert step.place in NOT_HERE, command


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("make nothing-such", subprocess.CalledProcessError),
        ("modelkiln compose --chekc", TyperException),
        ("modelkiln nothing", KeyError),
        ("dvc repro --pul-l", DvcParserError),
        ("dvc nothing", DvcParserError),
        ("no-such-program", FileNotFoundError),
    ],
)
def test_command_that_is_not_there_would_be_found(command: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(command.split())


def test_commands_are_told_apart() -> None:
    run = '# none\na "$B" | tee c.txt  # the first\nd --e || f "x y" >> "$G"\nh \\\n  i && j <<< "$K"\n'
    expected = [["a", "$B"], ["tee", "c.txt"], ["d", "--e"], ["f", "x y"], ["h", "i"], ["j"]]
    assert list(commands(run)) == expected


def test_page_names_every_workflow_and_every_setting() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    assert set(re.findall(r"(?m)^\| `([\w-]+)\.yml` \|", page)) == set(WORKFLOWS)
    settings = page.split("## What to set")[1].split("## Who may write")[0]
    text = "".join(path.read_text() for path in GITHUB.rglob("*.yml"))
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", settings)) == set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    environments = {job["environment"] for _, _, job in jobs() if "environment" in job}
    assert {name for name in environments if f"`{name}` (" in settings} == {"production", "pypi"} == environments
