"""Texts and calls that are drawn anew for each artifact: its digest decides, so they are the same ones each time.

What the other checks ask is the same for every artifact, so a graph could be right just there. Which texts and which
company are asked here nobody can know before the graph is sealed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from modelkiln.artifact import Manifest
from modelkiln.checks import inputs
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Original, hold_vectors, template
from modelkiln.encoder import Encoder
from modelkiln.layouts import TOKENS_AT_ONCE
from modelkiln.lengths import text_of_length
from modelkiln.recording import Facts

SHORT = 64  # tokens: each length up to here is drawn into a call with others, and of the longer ones a few
SOME = 8  # one in so many
EQUAL = (5, 9, 14, 20, 27, 40, 64, 100, 128)  # tokens of texts of which several of one length are in a call
TWINS = 3  # of each
WIDE = (40, 100, 180, 250)  # tokens of two texts that are in a call with as many short ones as there is room for
FEW = 3  # tokens of a short one, at the most: an empty text, or one of a token


def test_drawn_for_this_artifact(
    judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder, manifest: Manifest, texts: list[str]
) -> None:
    encoder = distinct_encoder
    chance = random.Random(manifest.digest)  # noqa: S311 (nobody can choose a graph by what it will give)
    longest = encoder.spec.max_length
    special = encoder.count_tokens([""])[0]
    words = " ".join(texts).split()
    lengths = [n for n in range(special + 1, longest + 1) if n <= SHORT or not chance.randrange(SOME)]
    asked = ["", *(text_of_length(encoder, words, length) for length in lengths)]
    drawn = inputs.drawn_rows(facts.tokenizer, *template(uncompiled), chance, longest, EQUAL, TWINS)
    rows = [*encoder.token_ids(asked), *drawn]
    expected = np.concatenate([uncompiled.embed(asked), uncompiled.embed_rows(drawn)])
    calls = [*_company(rows, chance), *_wide(rows, longest), *_equal(rows)]
    judge.hold("calls", len(calls))
    hold_vectors(
        judge,
        np.concatenate([expected[call] for call in calls]),
        np.concatenate([encoder.encode_rows([rows[index] for index in call]) for call in calls]),
    )


def _company(rows: Sequence[Sequence[int]], chance: random.Random) -> Iterator[list[int]]:
    """Each row once, in full calls of whatever comes together."""
    order = list(range(len(rows)))
    chance.shuffle(order)
    call: list[int] = []
    for index in order:
        if call and sum(len(rows[each]) for each in call) + len(rows[index]) > TOKENS_AT_ONCE:
            yield call
            call = []
        call.append(index)
    yield call


def _wide(rows: Sequence[Sequence[int]], longest: int) -> Iterator[list[int]]:
    """Two long texts, one of them among the short ones that there is room for: a rectangle that is mostly filled up."""
    short = [index for index, row in enumerate(rows) if len(row) <= FEW]
    for length in WIDE:
        most = min(length, longest)
        pair = sorted(range(len(rows)), key=lambda index: (len(rows[index]) > most, -len(rows[index])))[:2]
        room = (TOKENS_AT_ONCE - sum(len(rows[index]) for index in pair)) // FEW
        yield [*pair, *(short[at % len(short)] for at in range(room))]


def _equal(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Texts of one length, none of them longer than the others."""
    for length in EQUAL:
        alike = [index for index, row in enumerate(rows) if len(row) == length]
        if len(alike) > 1:
            yield alike
