"""A real run of the pipeline on a trained model: from the registry, and back into it, linked both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from clone import STAGES, TINY, Clone, stages_that_ran

from modelkiln.verdict import read_verdict

pytestmark = pytest.mark.pipeline


def test_trained_model_is_compiled_from_the_registry_and_linked(clone: Clone, tiny_model: Path) -> None:
    said = clone.modelkiln("register-trained", str(tiny_model), "keywords-tiny-trained", "--golden", "golden.jsonl")
    assert said.stdout.startswith("mlflow:keywords-tiny-trained/1, alias champion, digest ")
    chosen = [*TINY, "variant=trained"]
    done = clone.run("dvc", "exp", "run", *(part for each in chosen for part in ("-S", each)))
    assert stages_that_ran(done) == STAGES
    assert clone.read("artifacts/source/revision.json")["id"] == "mlflow:keywords-tiny-trained/1"
    verdict = read_verdict(clone.folder / "reports/validation/verdict.json")
    (registered,) = [check for check in verdict.checks if check.name == "registered: predictions"]
    assert (registered.outcome, registered.figures["agreement"].value) == ("passed", 1.0)
    # Version 1 is the base variant's, which the clone came with.
    trained = clone.modelkiln("versions", "keywords-tiny-trained").stdout
    assert trained.rstrip().endswith("compiled into mlflow:keywords-tiny/2")
    compiled = clone.modelkiln("versions", "keywords-tiny").stdout.splitlines()
    assert ("champion" in compiled[1], compiled[1].endswith("from mlflow:keywords-tiny-trained/1")) == (True, True)
    # The same again is the same version: nothing runs, and nothing is registered twice.
    clone.run("dvc", "repro", "--force", "--single-item", "upload")
    assert clone.modelkiln("versions", "keywords-tiny-trained").stdout == trained
    assert clone.modelkiln("rollback", "keywords-tiny").stdout == (
        "mlflow:keywords-tiny@champion is version 1, and was 2\n"
    )
