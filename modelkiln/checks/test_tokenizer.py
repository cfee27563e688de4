"""The artifact's tokenizer against the uncompiled model's: what it says, and the ids that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelkiln.artifact import TOKENIZER
from modelkiln.checks import inputs
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Original
from modelkiln.encoder import Encoder
from modelkiln.files import read_json
from modelkiln.lengths import words_of
from modelkiln.recording import Facts

SHOWN = 60  # characters of a text


def test_says_what_the_sources_says(folder: Path, facts: Facts, judge: Judge) -> None:
    """Part by part; truncation and padding are none of it: the envelope says where a text is cut off."""
    found = inputs.parts(read_json(folder / TOKENIZER, "the tokenizer"))
    wanted = inputs.parts(facts.tokenizer)
    others = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    judge.hold("other_parts", len(others))
    assert not others, f"{TOKENIZER} differs from the source's in {', '.join(others)}"


def test_every_token(judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder) -> None:
    """As a word in a text, and behind a letter, where it may continue one."""
    _hold(judge, uncompiled, distinct_encoder, inputs.token_texts(facts.tokenizer))


def test_every_character(judge: Judge, uncompiled: Original, distinct_encoder: Encoder) -> None:
    """Each that Unicode has, in a word and by itself."""
    _hold(judge, uncompiled, distinct_encoder, inputs.character_texts())


def test_long_words(judge: Judge, uncompiled: Original, distinct_encoder: Encoder) -> None:
    """Of each length up to beyond what any tokenizer takes for a word."""
    _hold(judge, uncompiled, distinct_encoder, inputs.long_words())


def test_special_tokens(
    judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder, texts: list[str]
) -> None:
    """Each that the tokenizer has, and each that it was given, written in texts."""
    _hold(judge, uncompiled, distinct_encoder, inputs.special_texts(facts.tokenizer, words_of(texts)))


def test_mixed_texts(
    judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder, documents: list[str]
) -> None:
    """The documents, and texts that are drawn from words, tokens, characters and blanks."""
    asked = [*documents, *inputs.mixed_texts(facts.tokenizer, words_of(documents))]
    _hold(judge, uncompiled, distinct_encoder, asked)


def _hold(judge: Judge, uncompiled: Original, encoder: Encoder, texts: Sequence[str]) -> None:
    wanted, found = uncompiled.token_ids(texts), encoder.token_ids(texts)
    wrong = [place for place in range(len(texts)) if wanted[place] != found[place]]
    judge.hold("texts", len(texts))
    judge.hold("different", len(wrong))
    if wrong:
        judge.broken.append(f"the first: {_shown(texts[wrong[0]], wanted[wrong[0]], found[wrong[0]])}")


def _shown(text: str, wanted: Sequence[int], found: Sequence[int]) -> str:
    """Where the ids of a text begin to differ."""
    at = next((i for i, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return f"{text[:SHOWN]!r} has {len(found)} tokens, expected {len(wanted)}"
    return f"{text[:SHOWN]!r} has token {found[at]} at {at}, expected {wanted[at]}"
