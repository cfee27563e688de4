"""Real `dvc repro`s in a clone: a change runs its own stages and no other, and nothing is ever half-done.

One clone serves all tests of the module, in their order: each leaves the pipeline up to date.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports import ROOT

from modelkiln.golden import SHIPPED

pytestmark = pytest.mark.pipeline
heavy = pytest.mark.heavy  # another one like it stands beside it
# With few texts, and without the profile: it would start the uncompiled model twice in each run.
TEXTS = ["validate.golden=golden.jsonl", "validate.corpus=golden.jsonl", "validate.profile_rounds=0"]
TINY = ["model=tiny", *TEXTS]
STAGES = ["download", "compile", "validate", "upload"]


class Clone:
    """A clone of the project, with a tiny model among its options."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(folder),  # its own modelkiln, not the one that is installed
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def modelkiln(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "modelkiln.cli", *arguments, check=check)

    def repro(self, check: bool = True) -> list[str]:
        """Runs the pipeline and says which stages ran."""
        done = self.run("dvc", "repro", check=check)
        return re.findall(r"Running stage '(\w+)'", done.stdout)

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        path = self.folder / name
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    def compose(self, *overrides: str) -> None:
        self.modelkiln("compose", "--only", "params", *TINY, *overrides)

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def clone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("clone") / "project"
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
    tiny = "# @package _global_\n" + yaml.safe_dump(_tiny_params(tiny_model))
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


def test_dag_has_four_nodes(clone: Clone) -> None:
    drawn = clone.run("dvc", "dag", "--dot").stdout
    assert set(re.findall(r'^"(\w+)"', drawn, re.MULTILINE)) | set(re.findall(r'-> "(\w+)"', drawn)) == set(STAGES)
    for stage in STAGES:
        assert re.search(rf"\| {stage} \|", clone.run("dvc", "dag").stdout)


def test_first_run_goes_from_download_to_registered(clone: Clone) -> None:
    assert clone.repro() == STAGES
    receipt = clone.read("receipts/upload.json")
    assert receipt["digest"] == clone.read("artifacts/compiled/manifest.json")["digest"]
    assert "keywords-tiny@champion, version 1" in clone.modelkiln("where").stdout
    found = clone.modelkiln("extract", "mlflow:keywords-tiny@champion", "golden.jsonl").stdout
    assert all(json.loads(line)["keywords"] for line in found.splitlines())


def test_nothing_runs_when_nothing_changed(clone: Clone) -> None:
    assert clone.repro() == []


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("upload.alias=challenger", ["upload"]),
        # The verdict names the tolerances, so it is another one.
        pytest.param("validate.bounds.score_atol=2e-4", ["validate", "upload"], marks=heavy),
        # The manifest names the envelope, so the artifact is another one.
        ("compile.max_batch=32", ["compile", "validate", "upload"]),
        pytest.param("download.model=renamed", STAGES, marks=heavy),
    ],
)
def test_one_param_runs_its_own_stages(override: str, stages: list[str], clone: Clone) -> None:
    clone.compose(override)
    assert clone.repro() == stages
    clone.compose()
    clone.repro()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("stages/upload.py", ["upload"]),
        ("modelkiln/registries/mlflow.py", ["download", "upload"]),
        # The same verdict: nothing to upload.
        ("modelkiln/checks/test_vectors.py", ["validate"]),
        pytest.param("modelkiln/keywords/ranking.py", ["validate"], marks=heavy),
        # The same artifact: nothing to validate.
        pytest.param("modelkiln/worker.py", ["compile"], marks=heavy),
        ("conf/words.txt", ["compile"]),
        ("modelkiln/sources/local.py", ["download"]),
        ("modelkiln/sources/hub.py", []),
        ("modelkiln/cli/__init__.py", []),
        ("README.md", []),
    ],
)
def test_one_file_runs_its_own_stages(file: str, stages: list[str], clone: Clone) -> None:
    clone.edit(file, lambda text: text + "\n# changed\n")
    assert clone.repro() == stages


@pytest.mark.parametrize(
    ("group", "library", "stage"), [("onnxruntime", "torch", "compile"), ("checks", "keybert", "validate")]
)
def test_one_version_runs_its_own_stage_which_refuses_another_environment(
    group: str, library: str, stage: str, clone: Clone
) -> None:
    before = (clone.folder / "toolchain.yaml").read_text()
    versions = yaml.safe_load(before)
    versions[group][library] = "0.0.1"
    (clone.folder / "toolchain.yaml").write_text(yaml.safe_dump(versions))
    done = clone.run("dvc", "repro", check=False)
    (clone.folder / "toolchain.yaml").write_text(before)
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == [stage]
    assert done.returncode == 255
    assert re.search(
        rf"{stage}: the environment is not the one in toolchain\.yaml .*{library} is .*expected 0\.0\.1", done.stderr
    )
    clone.repro()


def test_negative_verdict_is_recorded_and_upload_refuses(clone: Clone) -> None:
    # No two libraries add in the same order: a bound that fp32 can't hold.
    before = clone.read("receipts/upload.json")
    clone.compose("validate.bounds.atol=1e-12")
    done = clone.run("dvc", "repro", check=False)
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["validate", "upload"]
    assert done.returncode == 255
    assert re.search(r"upload: not registered: the verdict is negative: .*vectors.*max_abs_difference", done.stderr)
    verdict = clone.modelkiln("verdict", check=False)
    assert verdict.returncode == 1
    assert "max_abs_difference" in verdict.stderr
    assert clone.read("reports/validation/metrics.json")["passed"] == 0
    clone.compose()
    clone.repro()
    assert clone.read("receipts/upload.json") == before


def test_stage_killed_half_way_leaves_nothing_and_the_next_run_completes(clone: Clone) -> None:
    digest = clone.read("artifacts/compiled/manifest.json")["digest"]
    shutil.rmtree(clone.folder / "artifacts" / "compiled")
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.compile"], cwd=clone.folder, env=clone.environment, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (clone.folder / "artifacts" / ".compiled.partial" / "tokenizer.json").exists():
        assert time.monotonic() < deadline
        assert stage.poll() is None
        time.sleep(0.01)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    assert not (clone.folder / "artifacts" / "compiled").exists()
    (clone.folder / "dvc.lock").rename(clone.folder / "dvc.lock.away")
    shutil.rmtree(clone.folder / ".dvc" / "cache" / "runs")
    assert clone.repro()[:2] == ["download", "compile"]
    assert {path.name for path in (clone.folder / "artifacts").iterdir()} == {"compiled", "source"}
    assert clone.read("artifacts/compiled/manifest.json")["digest"] == digest


def test_receipt_of_another_registry_is_noticed_and_made_true(clone: Clone) -> None:
    """As in a fresh clone of a project whose registry is somebody else's."""
    (clone.folder / "registry").rename(clone.folder / "registry-away")
    assert clone.repro() == []
    done = clone.modelkiln("where", check=False)
    assert done.returncode == 1
    assert "run `dvc repro --force --single-item upload`" in done.stderr
    clone.run("dvc", "repro", "--force", "--single-item", "upload")
    assert "keywords-tiny@champion, version 1" in clone.modelkiln("where").stdout


def test_mistyped_params_stop_the_run_with_every_mistake(clone: Clone) -> None:
    good = (clone.folder / "params.yaml").read_text()
    clone.edit(
        "params.yaml", lambda text: text.replace("precision: fp32", "precison: fp32").replace("alias:", "alais:")
    )
    done = clone.run("dvc", "repro", check=False)
    assert done.returncode == 255
    assert "compile.precison: unknown key (did you mean 'precision'?)" in done.stderr
    assert "upload.alais: unknown key (did you mean 'alias'?)" in done.stderr
    assert "Traceback" not in done.stderr
    (clone.folder / "params.yaml").write_text(good)


def test_experiment_composes_and_runs(clone: Clone) -> None:
    clone.run("git", "add", ".")
    clone.run("git", "commit", "-qm", "before the experiment")
    done = clone.run(
        "dvc",
        "exp",
        "run",
        "-S",
        "model=tiny",
        "-S",
        "backend=generic",
        "-S",
        "variant=base",
        "-S",
        "compile.max_batch=16",
        "validate",
    )
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["compile", "validate"]
    assert yaml.safe_load((clone.folder / "params.yaml").read_text())["compile"]["max_batch"] == 16
    assert clone.read("artifacts/compiled/manifest.json")["encoders"]["word"]["max_batch"] == 16
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"]["reports/validation/metrics.json"]["data"]["passed"] == 1


@pytest.mark.parametrize(
    ("choice", "message"),
    [("backend=genric", "generic"), ("variant=trained", "base"), ("nogroup=x", "nogroup")],
)
def test_experiment_with_a_typo_is_refused(choice: str, message: str, clone: Clone) -> None:
    done = clone.run("dvc", "exp", "run", "-S", "model=tiny", "-S", choice, "validate", check=False)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    clone.run("git", "checkout", "--", "params.yaml")
