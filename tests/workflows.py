"""The workflows and actions of .github/, read; and a runner that runs a job's steps on this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from clone import Clone
from imports import ROOT

GITHUB = ROOT / ".github"
OWN = "$/.github/actions/"  # https://docs.github.com/actions: of the same repository, at the same commit
# The steps whose commands can't run where the tests run, and why.
NOT_HERE = {
    ("setup", "", "Make the environment"): "installs 2 GB; who runs the tests has done it",
    ("pull-request", "tests", "Lint, types and tests"): "it would start the tests within the tests",
    ("backends", "own", "Compile and judge on the device"): "needs AWS Neuron's packages and a device, or AVX512_BF16",
    ("backends", "own", "Choose the backend, and record what its interpreter has"): "needs AWS Neuron's interpreter",
    ("backends", "own", "Fail if the verdict is negative"): "needs what the step before has judged",
    ("revisions", "look", "Open a pull request"): "needs GitHub",
    ("release", "images", "Build generic and serve"): "needs a Docker engine and an image registry",
    ("release", "images", "Push them"): "needs a Docker engine and an image registry",
    ("release", "notes", "Publish the release"): "needs GitHub",
}
SEPARATORS = {"&&", "||", "|", ";"}
REDIRECTIONS = {">", ">>", "<", "<<<"}


@dataclass(frozen=True)
class Step:
    """A step of a job, or of an action of ours; there the job's name is nothing."""

    file: str  # the workflow's, or the action's, name
    job: str
    data: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def place(self) -> tuple[str, str, str]:
        return self.file, self.job, self.name

    @property
    def run(self) -> str:
        return str(self.data.get("run", ""))

    @property
    def uses(self) -> str:
        return str(self.data.get("uses", ""))


def read(path: Path) -> dict[str, Any]:
    """A file of .github/. YAML 1.1 takes its key `on` for true."""
    data = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in data.items()}


WORKFLOWS = {path.stem: read(path) for path in sorted((GITHUB / "workflows").glob("*.yml"))}
ACTIONS = {path.parent.name: read(path) for path in sorted((GITHUB / "actions").glob("*/action.yml"))}


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each job, with the names of its workflow and of itself."""
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield file, name, job


def steps_of(file: str, job: str = "") -> list[Step]:
    """The steps of a job, or of an action."""
    found = WORKFLOWS[file]["jobs"][job]["steps"] if job else ACTIONS[file]["runs"]["steps"]
    return [Step(file, job, data) for data in found]


def steps() -> Iterator[Step]:
    """Every step that there is."""
    for file, job, _ in jobs():
        yield from steps_of(file, job)
    for action in ACTIONS:
        yield from steps_of(action)


def commands(run: str) -> Iterator[list[str]]:
    """The words of each command of a `run:`, or of a block of shell lines, without comments and redirections."""
    lexer = shlex.shlex(run.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>\n")
    lexer.whitespace_split = True
    lexer.whitespace = " \t"  # a line's end is a command's
    lexer.commenters = ""  # a comment would take the line's end with it
    command: list[str] = []
    for word in (words := iter(lexer)):
        if word.startswith("#"):
            while (word := next(words, "\n")).strip("\n"):
                pass
        if word in REDIRECTIONS:
            next(words)
        elif word in SEPARATORS or not word.strip("\n"):
            if command:
                yield command
            command = []
        else:
            command.append(word)
    if command:
        yield command


@dataclass
class Runner:
    """Runs jobs in a clone as GitHub's runner does, apart from actions of others and from NOT_HERE.

    What an expression or a condition is worth there is told: one that nobody has told is an error.
    """

    clone: Clone
    told: Mapping[str, str]  # {"vars.DVC_REMOTE": "…"}
    conditions: Mapping[str, bool] = field(default_factory=dict)  # {the text of an `if`: whether it holds}
    environment: Mapping[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)  # {"steps.found.outputs.new": "yes"}
    ran: list[tuple[str, str, str]] = field(default_factory=list)

    def job(self, file: str, name: str) -> subprocess.CompletedProcess[str]:
        """Runs the steps in turn until one fails; gives the last one's process, with all output of the job."""
        job = WORKFLOWS[file]["jobs"][name]
        said = ""
        for step in self._flat(file, name):
            done = self._run(step, job.get("env", {}))
            said += f"\n== {step.name}\n{done.stdout}{done.stderr}"
            done.stdout = said
            if done.returncode:
                break
        return done

    @property
    def summary(self) -> str:
        """What the job has written for people."""
        return self._file("GITHUB_STEP_SUMMARY").read_text("utf-8")

    def _flat(self, file: str, job: str) -> Iterator[Step]:
        """The steps that this machine runs, those of our own actions in place, with their inputs as `inputs.…`."""
        for step in steps_of(file, job):
            if not self._holds(step.data.get("if")):
                continue
            if step.uses.startswith(OWN):
                action = step.uses.removeprefix(OWN)
                given = {**_defaults(action), **step.data.get("with", {})}
                self.outputs |= {f"inputs.{name}": self._filled(value) for name, value in given.items()}
                yield from (inner for inner in steps_of(action) if inner.run and inner.place not in NOT_HERE)
            elif step.run and step.place not in NOT_HERE:
                yield step

    def _holds(self, condition: str | None) -> bool:
        if condition is None:
            return True
        if condition.startswith("steps."):
            return bool(self.outputs.get(condition))
        return self.conditions[condition]

    def _filled(self, value: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: {**self.told, **self.outputs}[match[1]], value)

    def _run(self, step: Step, job_environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        given = {**job_environment, **step.data.get("env", {})}
        files = {name: str(self._file(name)) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_PATH")}
        own = {name: self._filled(str(value)) for name, value in given.items()}
        environment = {**self.clone.environment, **self.environment, **files, **own, "GITHUB_RUN_ID": "1"}
        # https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax: what `shell` stands for
        shell = ["bash", "--noprofile", "--norc", "-e", *(["-o", "pipefail"] if step.data.get("shell") else [])]
        self.ran.append(step.place)
        done = subprocess.run(
            [*shell, "-c", step.run],
            cwd=self.clone.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        for line in self._file("GITHUB_OUTPUT").read_text("utf-8").splitlines():
            name, _, value = line.partition("=")
            self.outputs[f"steps.{step.data.get('id')}.outputs.{name}"] = value
        self._file("GITHUB_OUTPUT").write_text("")
        return done

    def _file(self, name: str) -> Path:
        path = self.clone.folder.with_name(f"{self.clone.folder.name}-{name}")
        path.touch()
        return path


def _defaults(action: str) -> dict[str, str]:
    inputs = ACTIONS[action].get("inputs", {})
    return {name: given["default"] for name, given in inputs.items() if "default" in given}


def with_environment(clone: Clone) -> Clone:
    """The clone, with a .venv as `make setup` would leave it: this machine's own environment, by links."""
    venv, here = clone.folder / ".venv", Path(sys.prefix)
    venv.mkdir()
    shutil.copy(here / "pyvenv.cfg", venv)
    for folder in ("bin", "lib"):
        (venv / folder).symlink_to(here / folder)
    (venv / ".ready").touch()
    os.utime(venv / ".ready", (2**31, 2**31))  # newer than what it would be made from
    return clone
