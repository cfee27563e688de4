"""The compiled encoders' vectors against the uncompiled model's: real texts, words, the vocabulary, every length."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from modelkiln import backends, plan
from modelkiln.artifact import Manifest
from modelkiln.asked import Asked
from modelkiln.checks import inputs
from modelkiln.checks.plugin import Judge, rounded
from modelkiln.checks.uncompiled import Original, hold_vectors, template
from modelkiln.encoder import Encoder
from modelkiln.lengths import BUCKETS, EVERY, EVERY_UNPROVEN, Bucket, lengths_of, text_of_length, words_of
from modelkiln.parity import compare_vectors, vector_differences
from modelkiln.recording import Facts
from modelkiln.vocabulary import whole_words

DRAWN = 512  # words whose vectors the graph is asked for again
LEAST = 1e-7  # of a component: rounding
FULL = 170  # texts of three tokens: as many as go into one call of the packed layout


def test_real_texts(
    judge: Judge,
    uncompiled: Original,
    distinct_encoder: Encoder,
    documents: list[str],
) -> None:
    hold_vectors(judge, uncompiled.embed(documents), distinct_encoder.encode(documents))


def test_words(judge: Judge, uncompiled: Original, encoder: Encoder, texts: list[str]) -> None:
    """As they stand in the texts, so with capitals and full stops; and as candidates have them."""
    words = words_of(texts)
    words += [word.lower() for word in words]
    hold_vectors(judge, uncompiled.embed(words), encoder.encode(words))


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_every_length(
    judge: Judge,
    uncompiled: Original,
    distinct_encoder: Encoder,
    encoder_name: str,
    bucket: Bucket,
    manifest: Manifest,
    texts: list[str],
    evidence: dict[str, list[Any]],
) -> None:
    """From 1 token to beyond the longest that the encoder takes, each text in a call of its own, as it is served."""
    encoder = distinct_encoder
    every = EVERY if backends.load(manifest.backend).REPEATABLE else EVERY_UNPROVEN
    lengths = lengths_of(encoder.spec.max_length, encoder.count_tokens([""])[0], every)
    lengths = [length for length in lengths if length in bucket]
    if not lengths:
        judge.not_applicable(f"the longest text that is tried has {2 * encoder.spec.max_length} tokens")
    asked = [text_of_length(encoder, " ".join(texts).split(), length) for length in lengths]
    assert encoder.count_tokens(asked) == lengths
    expected, found = uncompiled.embed(asked), np.concatenate([encoder.encode([text]) for text in asked])
    cosines, differences = vector_differences(expected, found)
    evidence.setdefault("lengths.json", []).extend(
        {"encoder": encoder_name, "tokens": tokens, "cosine": rounded(cosine, 7), "difference": rounded(difference)}
        for tokens, cosine, difference in zip(lengths, cosines.tolist(), differences.tolist(), strict=True)
    )
    hold_vectors(judge, expected, found)


def test_every_token(
    judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder, manifest: Manifest
) -> None:
    """Each token that the source's tokenizer has, by its id, in calls of every number of texts.

    Where a table has the vectors of words, `compiled vocabulary` holds each of them to the uncompiled model. They are
    this graph's own, where compiling again has shown that: then as many of them are asked again as those calls take.
    """
    encoder = distinct_encoder
    chance = random.Random(manifest.digest)  # noqa: S311 (nobody can choose a graph by what it will give)
    full = min(encoder.spec.max_batch, FULL)
    rows = inputs.token_rows(facts.tokenizer, *template(uncompiled))
    longer = [*rows[0][:1], *max(rows, key=len)]  # longer than all others: which makes those the short ones of a call
    if backends.load(manifest.backend).REPEATABLE and any(plan.has_table(manifest, name) for name in manifest.encoders):
        tabled = {(*row,) for row in uncompiled.token_ids(whole_words(_tokenizer(facts)))}
        known, rows = [row for row in rows if (*row,) in tabled], [row for row in rows if (*row,) not in tabled]
        rows += chance.sample(known, max(0, min(len(known), full * (full + 1) // 2 - len(rows))))
    expected = uncompiled.embed_rows(rows)
    found = []
    for start, end in _calls(len(rows), full):
        if chance.random() < 0.5:
            found.append(encoder.encode_rows([*rows[start:end], longer])[:-1])
        else:
            found.append(encoder.encode_rows(rows[start:end]))
    judge.hold("tokens", len({token for row in rows for token in row}))
    hold_vectors(judge, expected, np.concatenate(found))


def test_compiled_vocabulary(
    judge: Judge,
    uncompiled: Original,
    facts: Facts,
    encoder: Encoder,
    asked: Asked | None,
    manifest: Manifest,
) -> None:
    """Every word's vector is the one that the uncompiled model gives, and no word is missing that it was to have."""
    vocabulary = encoder.vocabulary
    if vocabulary is None:
        judge.not_applicable("this encoder has no compiled vocabulary")
    words = vocabulary.words()
    kept = np.zeros((len(words), encoder.dimension), dtype=np.float32)
    vocabulary.fill(words, kept, range(len(words)))
    rows = uncompiled.token_ids(words)
    expected = uncompiled.embed_rows(rows)
    hold_vectors(judge, expected, kept)
    drawn = random.Random(manifest.digest).sample(range(len(words)), min(DRAWN, len(words)))  # noqa: S311
    computed = encoder.encode_rows([rows[index] for index in drawn])
    judge.hold("difference_from_the_graph", compare_vectors(computed, kept[drawn]).figures["max_abs_difference"])
    # Within the bounds there is room to change which of two near words comes first. The graph does not use it, so who
    # edits a table may not either: no row is much further from the uncompiled model than what the graph gives.
    own = max(LEAST, float(np.abs(computed - expected[drawn]).max()))
    judge.hold("times_the_graphs_own_difference", float(np.abs(kept - expected).max()) / own)
    judge.hold("words", len(words))
    wanted = {*whole_words(_tokenizer(facts)), *(asked.words if asked else ())}
    judge.hold("lacking", len(wanted - set(words)))
    judge.hold("not_asked_for", len(set(words) - wanted) if asked else 0)


def _tokenizer(facts: Facts) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(facts.tokenizer))


def _calls(rows: int, full: int) -> Iterator[tuple[int, int]]:
    """Spans of 1, 2, 3, … rows up to a full call, and back."""
    start, size, step = 0, 1, 1
    while start < rows:
        yield start, min(rows, start + size)
        start += size
        step = -1 if size == full else 1 if size == 1 else step
        size = max(1, size + step)
