"""CONTRIBUTING.md's commands exist, and its worked example is followed as printed; CHANGELOG.md is of this version."""

from __future__ import annotations

import re
import tomllib

import pytest
from clone import Clone
from commands import check, modelkiln_commands
from imports import ROOT
from packaging.version import Version
from workflows import commands

import modelkiln

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# ```bash, or ```python path/of/the/file.py
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [words for kind, _, text in BLOCKS if kind == "bash" for words in commands(text)]
EXAMPLE = BLOCKS[[kind for kind, path, _ in BLOCKS].index("python") :]


@pytest.mark.parametrize(
    "command", [words for kind, _, text in BLOCKS if kind == "bash" for words in commands(text)], ids=" ".join
)
def test_command_exists(command: list[str]) -> None:
    if command[0] != "source":  # the shell's own
        check(command)


def test_every_place_that_is_named_exists() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)|`((?:[\w-]+/)+[\w-]*(?:\.\w+)?)`", TEXT):
        assert (ROOT / "".join(name)).exists(), name


def test_example_has_four_steps_and_no_other_place() -> None:
    """A module, an option, and what commands write."""
    assert re.findall(r"(?m)^### (\d)\. ", TEXT) == ["1", "2", "3", "4"]
    assert [path for _, path, _ in EXAMPLE if path] == ["modelkiln/backends/exported.py", "conf/backend/exported.yaml"]


def test_changelog_begins_with_this_version() -> None:
    """Newest first, each once, in the form that it says it has."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"(?m)^## (.*)$", text)
    entries = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)", heading) for heading in headings]
    assert all(entries), headings
    versions = [Version(entry[1]) for entry in entries if entry]
    assert versions == sorted(set(versions), reverse=True)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert str(versions[0]) == modelkiln.__version__ == declared
    kinds = set(re.findall(r"(?m)^### (.*)$", text))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_commands_that_the_changelog_names_exist() -> None:
    named = re.findall(r"`((?:make|modelkiln) [\w-]+)`", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert len(named) > 5
    for command in named:
        program, name = command.split()
        if program == "make":
            check([program, name])
        else:
            assert name in modelkiln_commands()


@pytest.mark.heavy
@pytest.mark.pipeline
def test_example_followed_as_printed_gives_a_backend_that_passes(clone: Clone) -> None:
    """Nothing is done but what is printed: files are written, commands run one after another."""
    clone.edit("conf/config.yaml", lambda text: text.replace("model: all-MiniLM-L6-v2", "model: tiny"))
    clone.edit("conf/config.yaml", lambda text: text.replace("modelkiln/checks/golden.jsonl", "golden.jsonl"))
    clone.edit("conf/config.yaml", lambda text: text.replace("profile_rounds: 2", "profile_rounds: 0"))
    clone.run("git", "commit", "-qam", "choose the tiny model")
    said = ""
    for kind, path, text in EXAMPLE:
        if path:
            assert not (clone.folder / path).exists()
            (clone.folder / path).write_text(text, "utf-8")
        else:
            assert kind == "bash"
            said = clone.run("bash", "-e", "-c", text).stdout
    assert re.search(r"\d+ passed, \d+ deselected", said)
    manifest = clone.read("artifacts/compiled/manifest.json")
    assert (manifest["backend"], manifest["precision"]) == ("exported", "fp32")
    assert said.splitlines()[-1] == f"passed: artifact {manifest['digest']}"
    samples = (clone.folder / "golden.jsonl").read_text("utf-8").splitlines()
    assert clone.modelkiln("extract", "artifacts/compiled", "golden.jsonl").stdout.count('"keywords"') == len(samples)
    assert clone.run("git", "status", "--short", "toolchain.yaml").stdout.split() == ["M", "toolchain.yaml"]
