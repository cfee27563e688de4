"""A clone of the project with a tiny model among its options, for tests that run real `dvc repro`s in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from imports import ROOT

from modelkiln.golden import SHIPPED

STAGES = ["download", "compile", "validate", "upload"]
# With few texts, and without the profile: it would start the uncompiled model twice in each run.
TEXTS = ["validate.golden=golden.jsonl", "validate.corpus=golden.jsonl", "validate.profile_rounds=0"]
TINY = ["model=tiny", *TEXTS]


class Clone:
    """A folder with the project in it, and its commands."""

    def __init__(self, folder: Path, commands: Path = Path(sys.executable).parent) -> None:
        """`commands`: the folder of `python` and `dvc`."""
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # its own modelkiln, not the one that is installed
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def modelkiln(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "modelkiln.cli", *arguments, check=check)

    def repro(self, *targets: str) -> list[str]:
        """Runs the pipeline, or the part of it that leads to the targets, and says which stages ran."""
        return stages_that_ran(self.run("dvc", "repro", *targets))

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        path = self.folder / name
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    def compose(self, *overrides: str) -> None:
        self.modelkiln("compose", "--only", "params", *TINY, *overrides)

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def stages_that_ran(repro: subprocess.CompletedProcess[str]) -> list[str]:
    """What a `dvc repro`, or a `dvc exp run`, says of it."""
    return re.findall(r"Running stage '(\w+)'", repro.stdout)


def make_clone(folder: Path, model: Path) -> Clone:
    """Copies the project as git would have it, with the model, and few texts, chosen; nothing has run."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        # The clone's run is its own, from the first stage to the receipt.
        if name not in ("dvc.lock", "receipts/upload.json") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    tiny = "# @package _global_\n" + yaml.safe_dump(_tiny_params(model))
    (folder / "conf" / "model" / "tiny.yaml").write_text(tiny)
    (folder / "golden.jsonl").write_text("".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[::8]), "utf-8")
    made = Clone(folder)
    made.compose()
    made.run("git", "init", "-q")
    made.run("git", "config", "user.email", "test@example.org")
    made.run("git", "config", "user.name", "test")
    made.run("git", "add", ".")
    made.run("git", "commit", "-qm", "the project")
    return made


def _tiny_params(model: Path) -> dict[str, Any]:
    return {
        "download": {"model": "tiny", "source": "local", "sources": {"local": {"path": str(model)}}, "files": {}},
        "compile": {"task": "keywords", "encoders": {name: {"max_length": 48} for name in ("document", "word")}},
        "upload": {"name": "keywords-tiny"},
    }
