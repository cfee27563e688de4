"""Which texts are near to which: the compiled vectors' nearest neighbours against the uncompiled ones'."""

from __future__ import annotations

from modelkiln.bounds import Bounds
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Original
from modelkiln.encoder import Encoder
from modelkiln.figures import AT_10
from modelkiln.lengths import words_of
from modelkiln.parity import neighbours_overlap


def test_ten_nearest_documents(
    judge: Judge, uncompiled: Original, distinct_encoder: Encoder, documents: list[str], bounds: Bounds
) -> None:
    _judge(judge, uncompiled, distinct_encoder, documents, bounds)


def test_ten_nearest_words(
    judge: Judge, uncompiled: Original, encoder: Encoder, texts: list[str], bounds: Bounds
) -> None:
    _judge(judge, uncompiled, encoder, words_of(texts), bounds)


def _judge(judge: Judge, uncompiled: Original, encoder: Encoder, texts: list[str], bounds: Bounds) -> None:
    if len(texts) <= AT_10 + 1:
        judge.not_applicable(f"{len(texts)} texts: each is a neighbour of every other")
    expected, found = uncompiled.embed(texts), encoder.encode(texts)
    overlap = neighbours_overlap(expected, found, AT_10, bounds.tie_atol)
    judge.hold(f"overlap_at_{AT_10}", overlap)
