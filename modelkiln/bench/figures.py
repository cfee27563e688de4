"""What was measured -> the figures that are shown: rates, percentiles, paired ratios, agreement."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelkiln.bench.measure import Record, Results, Scenario
from modelkiln.bench.paired import percentile
from modelkiln.parity import compare_keywords

ATOL = 1e-4  # scores come rounded to 4 digits


@dataclass(frozen=True)
class Figure:
    """One peer in one scenario."""

    peer: str
    threads: int
    ngrams: tuple[int, int]
    in_a_call: int
    documents: int  # in a round
    rounds: int
    before: int  # documents that the process had met when the first of these came; -1: it remembers none
    documents_per_s: float
    p50_ms: float | None  # of a document, where it is alone in its call
    p95_ms: float | None
    peak_mb: float
    ratio: float | None  # of documents/s to the base's, on the same documents; None without a base
    agreement: float | None  # share of documents with the base's keywords and, within ATOL, its scores
    max_score_difference: float | None
    p99_ms: float | None = None  # the slowest one of fewer than 100; what was measured before has none


def figures(results: Results, base: str) -> list[Figure]:
    """A figure for each peer and scenario, in the order of measuring; `base`: the peer to compare with."""
    found = []
    for key in dict.fromkeys((r.peer, r.threads, r.scenario) for r in results.records):
        peer, threads, scenario = key
        own = select(results.records, peer, threads, scenario)
        others = select(results.records, base, threads, scenario)
        rates = [sum(r.documents for r in each) / _seconds(each) for each in _rounds(own).values()]
        alone = sorted(1000 * s for r in own for s in r.seconds) if scenario.in_a_call == 1 else []
        agreement, difference = _agreement(results, key, (base, threads, scenario))
        found.append(
            Figure(
                peer=peer,
                threads=threads,
                ngrams=scenario.ngrams,
                in_a_call=scenario.in_a_call,
                documents=sum(r.documents for r in own if r.round == own[0].round),
                rounds=len(rates),
                before=min(r.before for r in own),
                documents_per_s=statistics.median(rates),
                p50_ms=statistics.median(alone) if alone else None,
                p95_ms=alone[int(0.95 * (len(alone) - 1))] if alone else None,
                peak_mb=max(r.peak_mb for r in own),
                ratio=ratio(own, others),
                agreement=agreement,
                max_score_difference=difference,
                p99_ms=percentile(alone, 99) if alone else None,
            )
        )
    return found


def select(records: Iterable[Record], peer: str, threads: int, scenario: Scenario) -> list[Record]:
    """The records of one peer in one scenario."""
    return [r for r in records if (r.peer, r.threads, r.scenario) == (peer, threads, scenario)]


def ratio(own: Sequence[Record], others: Sequence[Record]) -> float | None:
    """How many times faster `own` was, on the blocks that both did in a round: the median over the rounds."""
    common = {(r.round, r.block) for r in own} & {(r.round, r.block) for r in others}
    if not common:
        return None
    mine = _rounds([r for r in own if (r.round, r.block) in common])
    theirs = _rounds([r for r in others if (r.round, r.block) in common])
    return statistics.median(_seconds(theirs[number]) / _seconds(mine[number]) for number in mine)


def _rounds(records: Iterable[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record.round, []).append(record)
    return found


def _seconds(records: Iterable[Record]) -> float:
    return sum(sum(record.seconds) for record in records)


def _agreement(
    results: Results, own: tuple[str, int, Scenario], base: tuple[str, int, Scenario]
) -> tuple[float | None, float | None]:
    mine, theirs = results.answers.get(own, {}), results.answers.get(base, {})
    common = sorted(set(mine) & set(theirs))
    if not common or own == base:
        return None, None
    parity = compare_keywords(
        [keywords for block in common for keywords in theirs[block]],
        [keywords for block in common for keywords in mine[block]],
        ATOL,
    )
    same = [each.agreement and each.score_difference <= ATOL for each in parity.documents]
    return statistics.fmean(same), parity.figures["max_score_difference"]
