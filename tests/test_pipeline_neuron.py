"""AWS Neuron's backends in the pipeline: by the simulator from download to registered, and refused without packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clone import STAGES, TINY, Clone, stages_that_ran
from imports import ROOT

from modelkiln import backends, compose
from modelkiln.inferentia import INDEX

pytestmark = pytest.mark.pipeline
CHOSEN = [part for each in TINY for part in ("-S", each)]


def refused(said: str, backend: str) -> bool:
    """Whether one of the lines says that the backend's package is missing, and how to get it."""
    (line,) = [line for line in said.splitlines() if line.startswith("compile: ")]
    install = f"pip install --extra-index-url {INDEX} {backends.load(backend).INSTALL}"
    return line.startswith(f"compile: torch_{backend} is not installed (") and install in line


@pytest.mark.parametrize("backend", ["neuron", pytest.param("neuronx", marks=pytest.mark.heavy)])
def test_compile_stage_without_the_package_is_refused_in_one_line_within_seconds(
    backend: str, tiny_source: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_source, tmp_path / "artifacts" / "source")
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    shutil.copy(ROOT / "toolchain.yaml", tmp_path)
    envelope = [f"compile.encoders.{name}.max_length=48" for name in ("document", "word")]
    composed = compose.compose(ROOT / "conf", [f"backend={backend}", *envelope])
    (tmp_path / "params.yaml").write_text(compose.to_yaml(composed))
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "stages.compile"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    assert done.returncode == 1
    assert refused(done.stderr, backend)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts" / "compiled").exists()
    # Of the processor's time: another process may have the processor.
    assert sum(after[2:4]) - sum(before[2:4]) < 20


@pytest.mark.heavy
def test_simulated_artifact_goes_all_the_way_to_a_test_registry_and_to_no_other(clone: Clone) -> None:
    clone.environment["NEURON_SIM_DEVICE"] = "inf2"
    before = clone.read("receipts/upload.json")
    simulated = [*CHOSEN, "-S", "backend=neuronx", "-S", "compile.options.simulated=true"]
    # Another source as well, so that all four stages run.
    simulated += ["-S", "download.model=renamed"]
    done = clone.run("dvc", "exp", "run", *simulated, check=False)
    assert done.returncode == 255
    assert stages_that_ran(done) == STAGES
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("upload: ")]
    assert line.startswith("upload: not registered: it was compiled with a simulator")
    assert "upload.test_registry: true" in line
    manifest = clone.read("artifacts/compiled/manifest.json")
    assert (manifest["backend"], manifest["options"]["simulated"]) == ("neuronx", True)
    assert clone.read("reports/validation/metrics.json")["passed"] == 1
    assert len(clone.modelkiln("versions", "keywords-tiny").stdout.splitlines()) == int(before["version"])

    done = clone.run("dvc", "exp", "run", *simulated, "-S", "upload.test_registry=true")
    assert stages_that_ran(done) == ["upload"]
    receipt = clone.read("receipts/upload.json")
    assert (receipt["version"], receipt["digest"]) == (str(int(before["version"]) + 1), manifest["digest"])
    assert f"keywords-tiny@champion, version {receipt['version']}" in clone.modelkiln("where").stdout


@pytest.mark.heavy
def test_cell_of_a_sweep_whose_package_is_missing_fails_alone(clone: Clone) -> None:
    clone.run("dvc", "exp", "run", "--queue", *CHOSEN, "-S", "backend=generic,neuron", "validate")
    done = clone.run("dvc", "exp", "run", "--run-all", "-j", "1", check=False)
    assert refused(done.stdout + done.stderr, "neuron")
    status = {row.split()[1]: row.split()[-1] for row in clone.run("dvc", "queue", "status").stdout.splitlines()[1:3]}
    assert sorted(status.values()) == ["Failed", "Success"]
    (passed,) = [name for name, state in status.items() if state == "Success"]
    clone.run("dvc", "exp", "apply", passed)
    assert clone.read("artifacts/compiled/manifest.json")["backend"] == "generic"
    assert clone.read("reports/validation/metrics.json")["passed"] == 1
    (failed,) = [name for name, state in status.items() if state == "Failed"]
    assert refused(clone.run("dvc", "queue", "logs", failed).stdout, "neuron")
