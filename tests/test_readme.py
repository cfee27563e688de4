"""What the README tells people to do can be done."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from imports import ROOT

from modelkiln import backends, plugins

README = (ROOT / "README.md").read_text("utf-8")
NEURON = (ROOT / "docs" / "neuron.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README + NEURON, re.DOTALL)
LINES = [line.split("#")[0] for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
COMMANDS = [command.strip() for line in LINES for command in line.split("&&")]


def commands(program: str) -> list[list[str]]:
    """The arguments of each command of that program, which may be given by its path, or for another machine."""
    found = [re.fullmatch(rf"(?:ssh \w+ )?(?:\S+/)?{program} (.+)", command) for command in COMMANDS]
    return [shlex.split(match[1]) for match in found if match]


def compose_params(overrides: list[str]) -> Any:
    from modelkiln.compose import compose

    return compose(ROOT / "conf", [override for override in overrides if not override.startswith("-")])


@pytest.mark.parametrize("arguments", commands("modelkiln"), ids=" ".join)
def test_modelkiln_command_and_its_options_exist(arguments: list[str], modelkiln_command: Any) -> None:
    shown = modelkiln_command(arguments[0], "--help")
    assert shown.returncode == 0
    for option in arguments[1:]:
        assert not option.startswith("--") or option in shown.stdout


@pytest.mark.parametrize("arguments", commands("make"), ids=" ".join)
def test_make_target_exists(arguments: list[str]) -> None:
    subprocess.run(["make", "-n", arguments[0]], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [found for found in commands("dvc") if found[:2] == ["exp", "run"]], ids=" ".join)
def test_experiment_composes(arguments: list[str]) -> None:
    assert compose_params([value for flag, value in itertools.pairwise(arguments) if flag == "-S"])


def test_device_page_has_five_commands_that_need_only_what_there_is() -> None:
    five, instead = re.findall(r"```bash\n(.*?)```", NEURON.split("five commands")[1].split("## ")[0], re.DOTALL)
    assert len(five.splitlines()) == 5
    assert len(instead.splitlines()) == 2
    files = re.findall(r"-r (\S+)", five + instead)
    assert files == ["requirements/neuronx.txt", "requirements/neuron.txt"]
    for arguments in commands("modelkiln"):
        if arguments[0] == "compose":
            assert compose_params(arguments[1:])


def test_table_lists_the_options_that_there_are() -> None:
    table = dict(re.findall(r"\| `(\w+)` \| (.*?) \|", README.split("## Choose something else")[1]))
    for folder in (path for path in (ROOT / "conf").iterdir() if path.is_dir()):
        assert set(re.findall(r"`([^`]+)`", table[folder.name])) == {file.stem for file in folder.glob("*.yaml")}


def test_python_example_runs(tiny_artifact: Path) -> None:
    (example,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(example.replace("artifacts/compiled", str(tiny_artifact)), {})


def test_every_place_that_is_named_exists() -> None:
    made_by_a_run = ("artifacts/", "reports/", "receipts/", "registry/")
    for name in re.findall(r"`([\w./-]+(?:/|\.py|\.yaml|\.md))`", README):
        assert name.startswith(made_by_a_run) or (ROOT / name).exists(), name


def test_speed_is_what_was_measured() -> None:
    from benchmarks.targets import targets

    rows = targets(json.loads((ROOT / "docs" / "benchmarks.json").read_text()))
    reached = {what: float(value) for what, _, value, _ in rows if value}
    (speed,) = re.findall(r"(\d\.\d) times as fast as KeyBERT", README)
    base = "KeyBERT, sentence-transformers torch"
    assert float(speed) <= reached[f"(1,1), 1 in a call: times {base}"] < float(speed) + 0.2
    assert reached[f"start to first keyword: share of {base}'s"] <= 0.115  # a ninth
    assert reached[f"peak memory, (1,1), 1 in a call: share of {base}'s"] <= 0.5


def test_gate_page_is_what_was_found() -> None:
    """Every kind that applies was refused by a check that is there for it, and no good artifact was."""
    from benchmarks.gate import page

    found = json.loads((ROOT / "docs" / "gate.json").read_text())
    machine = found["machine"]
    assert (ROOT / "docs" / "gate.md").read_text() == page(
        found["proofs"], f"{machine['processor']}, {machine['cores']} cores"
    )
    # What needs a device was not to be had.
    assert set(found["proofs"]) == {name for name in plugins.known("backends") if not backends.load(name).DEVICE}
    for proof in found["proofs"].values():
        assert {row["outcome"] for row in proof["rows"]} <= {"refused", "not applicable"}
        assert sum(row["outcome"] == "refused" for row in proof["rows"]) >= 25
        assert proof["refusals"] == []
    default = found["proofs"]["onnxruntime"]
    assert len(default["rows"]) >= 85  # "some ninety ways"
    assert default["good_runs"] >= 20


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    table = (ROOT / "docs" / "faults.md").read_text() + (ROOT / "docs" / "remote.md").read_text()
    named = set(re.findall(r"`([a-z0-9]+_\w+)`", table))
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def test_(\w+)", path.read_text())
    }
    assert len(named) > 40
    assert named <= there


def test_options_of_extract_keywords_are_all_named() -> None:
    from modelkiln.keywords.extractor import KeywordOptions

    assert all(f"`{name}`" in README for name in KeywordOptions.__annotations__)


def test_ci_runs_the_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
