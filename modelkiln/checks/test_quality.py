"""What the compiling costs by the measure of people: precision, recall and F1 against gold key phrases."""

from __future__ import annotations

from typing import Any

from modelkiln.checks.answers import Answers
from modelkiln.checks.plugin import Judge, rounded
from modelkiln.figures import AT_10
from modelkiln.golden import Sample
from modelkiln.quality import Quality, paired_bootstrap, score

AT = (5, AT_10, 15)


def test_gold_key_phrases(judge: Judge, answers: Answers, corpus: list[Sample], evidence: dict[str, list[Any]]) -> None:
    graded = [sample for sample in corpus if sample.keywords]
    if not graded:
        judge.not_applicable("the corpus has no gold key phrases (a list `keywords` on each line)")
    texts = [sample.text for sample in graded]
    gold = [list(sample.keywords) for sample in graded]
    expected, actual = answers.both("graded", texts, answers.task.QUALITY_PARAMS)
    rows = []
    for number in AT:
        before, after = score(expected, gold, number), score(actual, gold, number)
        loss = paired_bootstrap(before.f1_of, after.f1_of)
        judge.hold(f"f1_at_{number}_of_the_uncompiled", before.f1)
        judge.hold(f"f1_at_{number}", after.f1)
        if number == AT_10:
            judge.hold(f"f1_loss_at_{number}_upper", loss.high)
        said = {"n": number, "uncompiled": _means(before), "compiled": _means(after)}
        rows.append({**said, "f1_loss": rounded(loss.mean), "low": rounded(loss.low), "high": rounded(loss.high)})
    evidence.setdefault("quality.json", []).extend(rows)
    judge.hold("documents", len(graded))


def _means(quality: Quality) -> dict[str, float | None]:
    return {name: rounded(getattr(quality, name)) for name in ("precision", "recall", "f1")}
