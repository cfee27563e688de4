"""Real `dvc repro`s in a clone, refused, killed, and on their own: nothing is ever half-done."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from clone import Clone, stages_that_ran

pytestmark = pytest.mark.pipeline


def test_negative_verdict_is_recorded_and_upload_refuses(clone: Clone) -> None:
    # No two libraries add in the same order: a bound that fp32 can't hold.
    before = clone.read("receipts/upload.json")
    clone.compose("validate.bounds.atol=1e-12")
    done = clone.run("dvc", "repro", check=False)
    assert stages_that_ran(done) == ["validate", "upload"]
    assert done.returncode == 255
    assert re.search(r"upload: not registered: its verdict is negative: .*vectors.*max_abs_difference", done.stderr)
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
    while not list((clone.folder / "artifacts").glob(".compiled.*.partial/tokenizer.json")):
        assert time.monotonic() < deadline
        assert stage.poll() is None
        time.sleep(0.01)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    assert not (clone.folder / "artifacts" / "compiled").exists()
    # Or DVC would take the artifact from its cache.
    (clone.folder / "dvc.lock").rename(clone.folder / "dvc.lock.away")
    shutil.rmtree(clone.folder / ".dvc" / "cache" / "runs")
    assert clone.repro("compile") == ["download", "compile"]
    assert {path.name for path in (clone.folder / "artifacts").iterdir()} == {"compiled", "source"}
    assert clone.read("artifacts/compiled/manifest.json")["digest"] == digest
    # It is the artifact to the byte, so that what was made of it stands.
    (clone.folder / "dvc.lock.away").rename(clone.folder / "dvc.lock")
    assert clone.repro() == []


def test_receipt_of_another_registry_is_noticed_and_made_true(clone: Clone) -> None:
    """As in a fresh clone of a project whose registry is somebody else's."""
    (clone.folder / "registry").rename(clone.folder / "registry-away")
    assert clone.repro() == []
    done = clone.modelkiln("where", check=False)
    assert done.returncode == 1
    assert "run `dvc repro --force --single-item upload`" in done.stderr
    clone.run("dvc", "repro", "--force", "--single-item", "upload")
    assert "keywords-tiny@champion, version 1" in clone.modelkiln("where").stdout


@pytest.mark.heavy  # test_lineage runs an experiment, too
def test_experiment_composes_and_runs_and_its_artifact_is_uploaded_after_it(clone: Clone) -> None:
    chosen = ["model=tiny", "backend=generic", "variant=base", "compile.max_batch=16"]
    done = clone.run("dvc", "exp", "run", *(part for each in chosen for part in ("-S", each)), "validate")
    assert stages_that_ran(done) == ["compile", "validate"]
    assert yaml.safe_load((clone.folder / "params.yaml").read_text())["compile"]["max_batch"] == 16
    manifest = clone.read("artifacts/compiled/manifest.json")
    assert manifest["encoders"]["word"]["max_batch"] == 16
    shown = clone.run("dvc", "metrics", "show", "--json").stdout
    assert yaml.safe_load(shown)[""]["data"]["reports/validation/metrics.json"]["data"]["passed"] == 1
    assert clone.repro() == ["upload"]
    receipt = clone.read("receipts/upload.json")
    assert (receipt["version"], receipt["digest"]) == ("2", manifest["digest"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [("backend=genric", "generic"), ("variant=tained", "base"), ("nogroup=x", "nogroup")],
)
def test_experiment_with_a_typo_is_refused(choice: str, message: str, clone: Clone) -> None:
    done = clone.run("dvc", "exp", "run", "-S", "model=tiny", "-S", choice, "validate", check=False)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
