"""A project in small: the real conf/ under DVC, with stages that take no time, for tests of what is around the stages.

What its stages decide is by the backend: `neuron` can't compile, `generic` has a bug, int8 is refused by the gate.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from clone import Clone
from ctrl_c import heed_ctrl_c
from imports import ROOT

from modelkiln.compose import compose, to_yaml

PIPELINE = """\
stages:
  compile:
    cmd: python work.py compile
    params: [compile, download]
    deps: [work.py]
    outs: [artifacts/compiled]
  validate:
    cmd: python work.py validate
    params: [validate]
    deps: [artifacts/compiled, work.py]
    outs: [reports/validation/verdict.json]
    metrics: [reports/validation/metrics.json]
  upload:
    cmd: python work.py upload
    params: [upload]
    deps: [reports/validation/verdict.json]
    outs:
      - receipts/upload.json: {cache: false}
"""
WORK = """\
import json, os, sys, time
from dataclasses import asdict
from pathlib import Path

import yaml

from modelkiln.files import to_json, write_text
from modelkiln.verdict import Check, Verdict

stage, params = sys.argv[1], yaml.safe_load(Path("params.yaml").read_text())
backend, precision = params["compile"]["backend"], params["compile"]["precision"]
with open(os.environ["SMALL_RAN"], "a") as ran:
    ran.write(f"{stage} {params['download']['variant']} {backend} {precision}\\n")
if stage == "compile":
    time.sleep(float(os.environ.get("SMALL_SECONDS", "0")))
    if backend == "neuron":
        sys.exit("compile: torch_neuron is not installed")
    if backend == "generic":
        raise KeyError("a bug")
    write_text(Path("artifacts/compiled/graph"), f"{params['download']['variant']} {backend} {precision}" * 1000)
elif stage == "validate":
    passed = precision != "int8"
    check = Check("quality: gold", "passed") if passed else Check("quality: gold", "failed", {}, "f1 lost")
    write_text(Path("reports/validation/verdict.json"), to_json(asdict(Verdict(passed, backend, checks=[check]))))
    figures = {"openvino": (3.0, 0.004), "onnxruntime": (2.0, 0.0)}.get(backend, (1.5, 0.0))
    metrics = {"passed": int(passed), "failed": int(not passed), "f1": 0.3, "agreement": 1.0, "p50_ms": 10.0}
    metrics |= {"times_faster": figures[0], "f1_loss": figures[1]}
    write_text(Path("reports/validation/metrics.json"), json.dumps(metrics))
else:
    if os.environ.get("SMALL_REGISTRY") == "down":
        sys.exit("upload: the registry can't be reached")
    digest = Path("artifacts/compiled/graph").read_text()[:30]
    receipt = {"registry": "mlflow", "location": "here", "name": "small", "version": "1", "digest": digest}
    write_text(Path("receipts/upload.json"), to_json({**receipt, "alias": params["upload"]["alias"]}))
"""


class Small(Clone):
    """The project's folder, and its commands; `ran` has a line for each stage that has run, in whatever clone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ran_file = folder.parent / f"{folder.name}.ran"
        self.environment |= {
            "PYTHONPATH": str(ROOT),
            "SMALL_RAN": str(self.ran_file),
            "MODELKILN_CACHE": str(folder.parent / f"{folder.name}.cache"),
            "DVC_NO_ANALYTICS": "1",
        }

    @property
    def ran(self) -> list[str]:
        return self.ran_file.read_text().splitlines() if self.ran_file.exists() else []

    @property
    def commit(self) -> str:
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    @property
    def experiments(self) -> set[str]:
        """The names of HEAD's experiments."""
        pattern = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/"
        return {line.removeprefix(pattern) for line in self.git_refs(pattern)}

    def git_refs(self, pattern: str) -> list[str]:
        return self.run("git", "for-each-ref", "--format=%(refname)", pattern).stdout.split()

    def copy(self, folder: Path) -> Small:
        """Another one that is like it."""
        other = Small(Path(shutil.copytree(self.folder, folder, symlinks=True)))
        if self.ran_file.exists():
            shutil.copy(self.ran_file, other.ran_file)
        return other


def make_small(folder: Path) -> Small:
    """Writes the project and commits it; nothing has run."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "work.py").write_text(WORK)
    (folder / "params.yaml").write_text(to_yaml(compose(folder / "conf")))
    made = Small(folder)
    made.run("git", "init", "-q", "-b", "main")
    made.run("git", "config", "user.email", "test@example.org")
    made.run("git", "config", "user.name", "test")
    made.run("git", "add", ".")
    made.run("git", "commit", "-qm", "the project")
    return made


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def start(*command: str, project: Small) -> subprocess.Popen[str]:
    """A command of the project's that goes on beside the test."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelkiln.cli", *command],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
