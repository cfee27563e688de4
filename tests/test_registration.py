"""Only an artifact with a positive verdict of its own is registered, and the registration tells where it came from."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from earned import earned

from modelkiln import ModelkilnError, registration
from modelkiln.artifact import read_manifest
from modelkiln.bounds import STRICT
from modelkiln.params import Upload
from modelkiln.verdict import Check, Verdict

GOLDEN = {"inputs": ["text"], "inference_params": [{"top_n": 5}], "predictions": [[[["text", 1.0]]]], "expected": []}
SQLITE = {"tracking_uri": "sqlite:///registry/mlflow.db", "artifact_root": "registry/files"}
PARAMS = Upload("mlflow", "test", "keywords", "champion", options=SQLITE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository as the working folder."""
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", *command], check=True)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    subprocess.run(["git", "add", "dvc.lock"], check=True)
    subprocess.run(["git", "commit", "-qm", "first"], check=True)
    return tmp_path


@pytest.fixture
def registry(project: Path, mlflow_database: Path) -> Path:
    """An empty one, in the project, as the first upload would make it."""
    (project / "registry").mkdir()
    return Path(shutil.copy(mlflow_database, project / "registry" / "mlflow.db"))


@pytest.fixture
def verdict(tiny_artifact: Path) -> Verdict:
    return earned(read_manifest(tiny_artifact))


def test_receipt_is_the_same_again(project: Path, registry: Path, tiny_artifact: Path, verdict: Verdict) -> None:
    first = registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, PARAMS)
    assert first == registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, PARAMS)
    assert first == {
        "registry": "mlflow",
        "location": "sqlite:///registry/mlflow.db",
        "name": "keywords",
        "version": "1",
        "digest": verdict.artifact,
        "alias": "champion",
    }
    assert registration.is_registered(first, PARAMS)
    assert not registration.is_registered({**first, "digest": "0" * 64}, PARAMS)


def test_version_holds_lineage_card_and_golden_samples(project: Path, tiny_artifact: Path, verdict: Verdict) -> None:
    registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, PARAMS)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/registry/mlflow.db")
    version = client.get_model_version_by_alias("keywords", "champion")
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert version.tags["git_commit"] == head
    assert version.tags["git_clean"] == "yes"
    assert version.tags["artifact_digest"] == verdict.artifact
    assert version.tags["source_revision"] == read_manifest(tiny_artifact).source["revision"]
    assert version.tags["dvc_lock_md5"] == registration.lock_md5(project / "dvc.lock")
    assert "| vectors: real texts[document]: min_cosine | 0.9999 | at least 0.9999 |" in version.description
    golden = Path(client.download_artifacts(version.run_id, "golden", str(project)))
    assert {path.stem: json.loads(path.read_text()) for path in golden.iterdir()} == {
        name: GOLDEN[name] for name in ("inputs", "inference_params", "predictions")
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"passed": False, "checks": [Check("vectors", "failed", reason="min_cosine is 0.5")]},
            "negative: vectors: min_cosine",
        ),
        ({"artifact": "0" * 64}, "its verdict is of artifact 0000"),
        ({"artifact": ""}, "its verdict is of artifact "),
    ],
)
def test_artifact_without_a_positive_verdict_of_its_own_is_refused(
    changes: dict[str, Any], message: str, project: Path, tiny_artifact: Path, verdict: Verdict
) -> None:
    with pytest.raises(ModelkilnError, match=f"not registered: .*{message}"):
        registration.upload(tiny_artifact, replace(verdict, **changes), STRICT, GOLDEN, PARAMS)
    assert not (project / "registry").exists()


def test_lock_is_the_same_before_and_after_upload_has_its_entry(tmp_path: Path) -> None:
    assert registration.lock_md5(tmp_path / "dvc.lock") == "unknown"
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  compile: {cmd: x}\n")
    before = registration.lock_md5(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  upload: {cmd: z}\n  compile: {cmd: x}\n")
    assert registration.lock_md5(tmp_path / "dvc.lock") == before
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  compile: {cmd: y}\n")
    assert registration.lock_md5(tmp_path / "dvc.lock") != before


def test_lineage_knows_changed_code_from_the_run_itself(project: Path, tiny_artifact: Path) -> None:
    manifest = read_manifest(tiny_artifact)
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert registration.read_lineage(manifest, None)["git_clean"] == "yes"
    (project / "new_code.py").write_text("")
    assert registration.read_lineage(manifest, None)["git_clean"] == "no"
    shutil.rmtree(project / ".git")
    lineage = registration.read_lineage(manifest, None)
    assert (lineage["git_commit"], lineage["git_clean"]) == ("unknown", "unknown")


def test_alias_that_has_moved_on_is_noticed(
    project: Path, registry: Path, tiny_artifact: Path, verdict: Verdict
) -> None:
    from mlflow import MlflowClient

    receipt = registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, PARAMS)
    client = MlflowClient(f"sqlite:///{project}/registry/mlflow.db")
    tags = {"content_digest": "0" * 64, "complete": "true"}
    client.create_model_version("keywords", "somewhere", tags=tags)
    client.set_registered_model_alias("keywords", "champion", "2")
    assert not registration.is_registered(receipt, PARAMS)


def test_remote_that_dvc_does_not_know_is_refused(
    project: Path, registry: Path, tiny_artifact: Path, verdict: Verdict
) -> None:
    subprocess.run(["dvc", "init", "-q"], check=True)
    with pytest.raises(ModelkilnError, match=r"DVC has no remote 'prod'; add it with `dvc remote add prod s3://"):
        registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, replace(PARAMS, remote="prod"))
    subprocess.run(["dvc", "remote", "add", "prod", "s3://bucket/path"], check=True)
    receipt = registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, replace(PARAMS, remote="prod"))
    assert receipt["version"] == "1"
