"""What was measured becomes what is shown."""

from __future__ import annotations

import pytest

from modelkiln.bench.figures import figures, ratio
from modelkiln.bench.measure import Record, Results, Scenario

BASE = "base"


def record(peer: str, number: int, block: int, seconds: list[float], documents: int | None = None) -> Record:
    return Record(peer, 1, (1, 1), 1, number, block, documents or len(seconds), seconds, 100.0 + number, -1)


RECORDS = [
    record(BASE, 0, 0, [1.0, 3.0]),
    record("fast", 0, 0, [0.5, 0.5]),
    record(BASE, 0, 1, [5.0, 5.0]),  # the machine slows down
    record("fast", 0, 1, [2.5, 1.5]),
    record(BASE, 1, 0, [1.0, 1.0]),
    record("fast", 1, 0, [0.5, 0.5]),
    record(BASE, 1, 1, [2.0, 2.0]),
    record("fast", 1, 1, [1.0, 2.0]),
    record("slow", 0, 0, [10.0, 10.0]),
]


def of(peer: str) -> list[Record]:
    return [each for each in RECORDS if each.peer == peer]


def test_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    assert ratio(of("fast"), of(BASE)) == pytest.approx((14 / 5 + 6 / 4) / 2)


def test_ratio_is_taken_on_the_blocks_that_both_did() -> None:
    assert ratio(of("slow"), of(BASE)) == pytest.approx(4 / 20)
    assert ratio(of(BASE), of("slow")) == pytest.approx(20 / 4)
    assert ratio(of("slow"), [record(BASE, 1, 0, [1.0])]) is None


def test_figures_are_those_of_the_records() -> None:
    results = Results(records=RECORDS)
    base, fast, slow = figures(results, BASE)
    assert (base.documents, base.rounds, base.ratio) == (4, 2, 1.0)
    assert fast.documents_per_s == pytest.approx((4 / 5 + 4 / 4) / 2)
    assert fast.p50_ms == pytest.approx(750)
    assert fast.p95_ms == pytest.approx(2000)
    assert fast.peak_mb == 101
    assert (slow.documents, slow.rounds) == (2, 1)


def test_answers_are_compared_on_the_blocks_that_both_did() -> None:
    key = Scenario((1, 1), 1)
    tram, line = [("tram", 0.5), ("line", 0.4)], [("line", 0.5)]
    results = Results(records=RECORDS)
    results.answers = {
        (BASE, 1, key): {0: [tram, line], 1: [line, line]},
        ("fast", 1, key): {0: [tram, line], 1: [line, tram]},
        ("slow", 1, key): {0: [tram, [("line", 0.5001)]]},
    }
    base, fast, slow = figures(results, BASE)
    assert base.agreement is None
    assert fast.agreement == 0.75
    assert slow.agreement == 1.0
    assert slow.max_score_difference == pytest.approx(1e-4)
