"""The compiled encoders' vectors against the uncompiled model's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from modelkiln.checks.plugin import Judge
from modelkiln.encoder import Encoder
from modelkiln.parity import compare_vectors

SHORT_WORD = "a"  # one token in every tokenizer that has Latin letters


def _judge(judge: Judge, reference: Any, encoder: Encoder, texts: list[str], config: pytest.Config) -> None:
    parity = compare_vectors(reference.model.embed(texts), encoder.encode(texts))
    assert not parity.failures, parity.failures
    judge.at_least("min_cosine", parity.figures["min_cosine"], config.getoption("min_cosine"))
    judge.at_most("max_abs_difference", parity.figures["max_abs_difference"], config.getoption("atol"))


def test_golden_texts(
    judge: Judge, reference: Any, encoder: Encoder, texts: list[str], pytestconfig: pytest.Config
) -> None:
    _judge(judge, reference, encoder, texts, pytestconfig)


def test_words(judge: Judge, reference: Any, encoder: Encoder, texts: list[str], pytestconfig: pytest.Config) -> None:
    words = sorted({word for text in texts for word in text.split()})
    _judge(judge, reference, encoder, words, pytestconfig)


def test_edges_of_the_envelope(
    judge: Judge, reference: Any, encoder: Encoder, texts: list[str], pytestconfig: pytest.Config
) -> None:
    """Lengths around 1 token, the longest, and beyond; a text alone, a full batch, and one more."""
    words = " ".join(texts).split()
    longest = encoder.spec.max_length
    shortest = encoder.count_tokens([SHORT_WORD])[0]
    lengths = [shortest, shortest + 1, longest // 2, longest - 2, longest - 1, longest, longest + 1, 2 * longest]
    edges = [_of_length(encoder, words, length) for length in lengths]
    assert encoder.count_tokens(edges) == lengths
    for batch in (edges[:1], edges, [words[0]] * encoder.spec.max_batch, [words[0]] * (encoder.spec.max_batch + 1)):
        _judge(judge, reference, encoder, batch, pytestconfig)


def test_hostile_texts(judge: Judge, reference: Any, encoder: Encoder, pytestconfig: pytest.Config) -> None:
    texts = [
        "",
        "  \n\t",
        "a",
        "\0\0null\0",
        "🙂🚀",
        "שלום עולם",
        "中文沒有空格",
        "x" * 5000,
        "\u200b\ufeff",
        "ÄÖÜ ß ñ ¿",
    ]
    _judge(judge, reference, encoder, texts, pytestconfig)


def _of_length(encoder: Encoder, words: list[str], length: int) -> str:
    """A text of exactly so many tokens: words as far as they fit, then the shortest there is."""
    counts = encoder.count_tokens(words)
    special = encoder.count_tokens([""])[0]
    chosen, left = [], length - special
    for word, count in zip(itertools.cycle(words), itertools.cycle(counts)):
        if count - special > left:
            break
        chosen.append(word)
        left -= count - special
    return " ".join(chosen + [SHORT_WORD] * left)
