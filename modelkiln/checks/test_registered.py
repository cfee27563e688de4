"""The compiled model's answers against those that the trained model was registered with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelkiln.bounds import Bounds
from modelkiln.checks.answers import Answers
from modelkiln.checks.plugin import Judge
from modelkiln.golden import read_registered


def test_predictions(judge: Judge, answers: Answers, source: Path, bounds: Bounds) -> None:
    registered = read_registered(source / "golden")
    if registered is None:
        judge.not_applicable("the model came without registered predictions")
    task = answers.task
    ours, theirs = [], []
    for mode, predictions in zip(registered.modes, registered.predictions, strict=True):
        expected = task.read(predictions, len(registered.inputs))
        again, actual = answers.both("registered", registered.inputs, mode)
        ours.append(task.compare(expected, actual, bounds.tie_atol))
        theirs.append(task.compare(expected, again, bounds.tie_atol))
    judge.hold("agreement", min(each.figures["agreement"] for each in ours))
    judge.hold("overlap", min(each.figures["overlap"] for each in ours))
    difference = float(np.max([each.figures["max_score_difference"] for each in ours]))  # max() would lose a NaN
    judge.hold("max_score_difference", difference)
    # Tells a wrong artifact from predictions that this environment's libraries no longer make.
    judge.hold("agreement_of_the_uncompiled", min(each.figures["agreement"] for each in theirs))
    if judge.broken and (failures := [failure for each in (*theirs, *ours) for failure in each.failures]):
        judge.broken.append(f"the first of {len(failures)}: {failures[0]}")
