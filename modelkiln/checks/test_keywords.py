"""The compiled model's answers against those of the library that users know, over the uncompiled model; all modes."""

from __future__ import annotations

from typing import Any

import pytest

from modelkiln.bounds import Bounds
from modelkiln.checks.answers import Answers, note, pairs
from modelkiln.checks.plugin import PREDICTIONS, Judge
from modelkiln.golden import Sample


def test_golden_samples(
    judge: Judge,
    answers: Answers,
    mode: int,
    golden: list[Sample],
    bounds: Bounds,
    evidence: dict[str, list[Any]],
    pytestconfig: pytest.Config,
) -> None:
    expected, actual = _judge(judge, answers, "golden", mode, golden, bounds, evidence)
    kept = pytestconfig.stash[PREDICTIONS]
    kept["inputs"] = [sample.text for sample in golden]
    for name, value in (
        ("inference_params", answers.task.GOLDEN_PARAMS[mode]),
        ("predictions", [pairs(answer) for answer in actual]),
        ("expected", [pairs(answer) for answer in expected]),
    ):
        kept.setdefault(name, []).append(value)


def test_corpus(
    judge: Judge,
    answers: Answers,
    corpus_mode: int | None,
    corpus: list[Sample],
    bounds: Bounds,
    evidence: dict[str, list[Any]],
) -> None:
    if corpus_mode is None:
        judge.not_applicable("the corpus is the golden samples")
    _judge(judge, answers, "corpus", corpus_mode, corpus, bounds, evidence)


def _judge(
    judge: Judge,
    answers: Answers,
    name: str,
    mode: int,
    samples: list[Sample],
    bounds: Bounds,
    evidence: dict[str, list[Any]],
) -> tuple[list[Any], list[Any]]:
    both = answers.both(name, [sample.text for sample in samples], answers.task.GOLDEN_PARAMS[mode])
    parity = answers.task.compare(*both, bounds.tie_atol)
    judge.hold_all(parity.figures)
    note(evidence, name, mode, samples, both, parity)
    if judge.broken and parity.failures:
        pytest.fail(f"{'; '.join(judge.broken)}; the first of {len(parity.failures)}: {parity.failures[0]}", False)
    return both
