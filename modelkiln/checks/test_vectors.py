"""The compiled encoders' vectors against the uncompiled model's: real texts, words, the vocabulary, every length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelkiln.bounds import Bounds
from modelkiln.checks.lengths import BUCKETS, Bucket, lengths_of, text_of_length, words_of
from modelkiln.checks.plugin import Judge, rounded
from modelkiln.checks.uncompiled import Original, hold_vectors
from modelkiln.encoder import Encoder
from modelkiln.parity import compare_vectors, vector_differences
from modelkiln.progress import track

AT_ONCE = 1024  # words of the vocabulary


def test_real_texts(
    judge: Judge,
    uncompiled: Original,
    distinct_encoder: Encoder,
    documents: list[str],
    bounds: Bounds,
) -> None:
    hold_vectors(judge, uncompiled.embed(documents), distinct_encoder.encode(documents), bounds)


def test_words(judge: Judge, uncompiled: Original, encoder: Encoder, texts: list[str], bounds: Bounds) -> None:
    """As they stand in the texts, so with capitals and full stops; and as candidates have them."""
    words = words_of(texts)
    words += [word.lower() for word in words]
    hold_vectors(judge, uncompiled.embed(words), encoder.encode(words), bounds)


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_every_length(
    judge: Judge,
    uncompiled: Original,
    distinct_encoder: Encoder,
    encoder_name: str,
    bucket: Bucket,
    texts: list[str],
    bounds: Bounds,
    evidence: dict[str, list[Any]],
) -> None:
    """From 1 token to beyond the longest that the encoder takes."""
    encoder = distinct_encoder
    lengths = lengths_of(encoder.spec.max_length, encoder.count_tokens([""])[0])
    lengths = [length for length in lengths if length in bucket]
    if not lengths:
        judge.not_applicable(f"the longest text that is tried has {2 * encoder.spec.max_length} tokens")
    asked = [text_of_length(encoder, " ".join(texts).split(), length) for length in lengths]
    assert encoder.count_tokens(asked) == lengths
    expected, found = uncompiled.embed(asked), encoder.encode(asked)
    cosines, differences = vector_differences(expected, found)
    evidence.setdefault("lengths.json", []).extend(
        {"encoder": encoder_name, "tokens": tokens, "cosine": rounded(cosine, 7), "difference": rounded(difference)}
        for tokens, cosine, difference in zip(lengths, cosines.tolist(), differences.tolist(), strict=True)
    )
    hold_vectors(judge, expected, found, bounds)


def test_compiled_vocabulary(judge: Judge, encoder: Encoder, bounds: Bounds) -> None:
    """Every word's vector is the one that the graph gives; that the graph is right is shown by the other checks."""
    vocabulary = encoder.vocabulary
    if vocabulary is None:
        judge.not_applicable("this encoder has no compiled vocabulary")
    words = vocabulary.words()
    kept = np.zeros((len(words), encoder.dimension), dtype=np.float32)
    vocabulary.fill(words, kept, range(len(words)))
    starts = range(0, len(words), AT_ONCE)
    encoder.vocabulary = None
    try:
        shown = track(starts, f"the vocabulary, {AT_ONCE} words at a time", len(starts))
        computed = np.concatenate([encoder.encode(words[start : start + AT_ONCE]) for start in shown])
    finally:
        encoder.vocabulary = vocabulary
    judge.at_most("max_abs_difference", compare_vectors(computed, kept).figures["max_abs_difference"], bounds.atol)
    judge.at_least("words", len(words), 1)
