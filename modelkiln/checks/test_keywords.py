"""The golden samples' keywords against those of the library that users know, over the uncompiled model."""

from __future__ import annotations

from typing import Any

import pytest

from modelkiln import tasks
from modelkiln.artifact import Manifest
from modelkiln.checks.plugin import PREDICTIONS, Judge


def test_golden_samples_in_every_mode(
    judge: Judge,
    predictor: Any,
    reference: Any,
    manifest: Manifest,
    texts: list[str],
    pytestconfig: pytest.Config,
) -> None:
    task = tasks.load(manifest.task)
    expected, actual = task.predict(reference, texts), task.predict(predictor, texts)
    modes = list(task.GOLDEN_PARAMS)
    pytestconfig.stash[PREDICTIONS].update(inputs=texts, inference_params=modes, predictions=actual, expected=expected)
    atol = pytestconfig.getoption("score_atol")
    parities = [task.compare(wanted, found, atol) for wanted, found in zip(expected, actual, strict=True)]
    failures = [failure for parity in parities for failure in parity.failures]
    judge.at_most("max_score_difference", max(parity.figures["max_score_difference"] for parity in parities), atol)
    judge.at_least("agreement", min(parity.figures["agreement"] for parity in parities), 1.0)
    assert not failures, failures


def test_one_document_alone(
    judge: Judge, predictor: Any, manifest: Manifest, texts: list[str], pytestconfig: pytest.Config
) -> None:
    """A document's keywords do not depend on the documents beside it."""
    together = predictor.extract_keywords(texts)
    alone = [predictor.extract_keywords(text) for text in texts]
    parity = tasks.load(manifest.task).compare(together, alone, pytestconfig.getoption("score_atol"))
    judge.at_least("agreement", parity.figures["agreement"], 1.0)
