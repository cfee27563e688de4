"""Real `dvc repro`s in a clone: a change runs its own stages and no other."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from clone import STAGES, Clone, stages_that_ran

pytestmark = pytest.mark.pipeline
heavy = pytest.mark.heavy  # another one like it stands beside it


def test_dag_has_four_nodes(clone: Clone) -> None:
    drawn = clone.run("dvc", "dag", "--dot").stdout
    assert set(re.findall(r'^"(\w+)"', drawn, re.MULTILINE)) | set(re.findall(r'-> "(\w+)"', drawn)) == set(STAGES)
    boxes = clone.run("dvc", "dag").stdout
    for stage in STAGES:
        assert re.search(rf"\| {stage} \|", boxes)


def test_first_run_goes_from_download_to_registered(clone: Clone) -> None:
    assert clone.read("first-run.json") == STAGES
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
        # The manifest names the envelope, so the artifact is another one: as in the experiment of test_interruptions.
        pytest.param("compile.max_batch=32", ["compile", "validate", "upload"], marks=heavy),
        pytest.param("download.model=renamed", STAGES, marks=heavy),
    ],
)
def test_one_param_runs_its_own_stages(override: str, stages: list[str], clone: Clone) -> None:
    clone.compose(override)
    assert clone.repro() == stages


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("stages/upload.py", ["upload"]),
        pytest.param("modelkiln/registries/mlflow/__init__.py", ["download", "upload"], marks=heavy),
        # The same verdict: nothing to upload.
        pytest.param("modelkiln/checks/test_vectors.py", ["validate"], marks=heavy),
        pytest.param("modelkiln/keywords/ranking.py", ["validate"], marks=heavy),
        # The same artifact: nothing to validate.
        pytest.param("modelkiln/worker.py", ["compile"], marks=heavy),
        pytest.param("conf/words.txt", ["compile"], marks=heavy),
        ("modelkiln/sources/local.py", ["download"]),
    ],
)
def test_one_file_runs_its_own_stages(file: str, stages: list[str], clone: Clone) -> None:
    clone.edit(file, lambda text: text + "\n# changed\n")
    assert clone.repro() == stages


def test_files_of_no_stage_run_none(clone: Clone) -> None:
    for file in ("modelkiln/sources/hub.py", "modelkiln/cli/__init__.py", "README.md"):
        clone.edit(file, lambda text: text + "\n# changed\n")
    assert clone.repro() == []


@pytest.mark.parametrize(
    ("group", "library", "stage"), [("onnxruntime", "torch", "compile"), ("checks", "keybert", "validate")]
)
def test_one_version_runs_its_own_stage_which_refuses_another_environment(
    group: str, library: str, stage: str, clone: Clone
) -> None:
    versions = yaml.safe_load((clone.folder / "toolchain.yaml").read_text())
    versions[group][library] = "0.0.1"
    (clone.folder / "toolchain.yaml").write_text(yaml.safe_dump(versions))
    done = clone.run("dvc", "repro", check=False)
    assert stages_that_ran(done) == [stage]
    assert done.returncode == 255
    assert re.search(
        rf"{stage}: the environment is not the one in toolchain\.yaml .*{library} is .*expected 0\.0\.1", done.stderr
    )


def test_mistyped_params_stop_the_run_with_every_mistake(clone: Clone) -> None:
    clone.edit(
        "params.yaml", lambda text: text.replace("precision: fp32", "precison: fp32").replace("alias:", "alais:")
    )
    done = clone.run("dvc", "repro", check=False)
    assert done.returncode == 255
    assert "compile.precison: unknown key (did you mean 'precision'?)" in done.stderr
    assert "upload.alais: unknown key (did you mean 'alias'?)" in done.stderr
    assert "Traceback" not in done.stderr
