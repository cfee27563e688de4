"""Texts that nobody would write and every system is sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelkiln.bounds import Bounds
from modelkiln.checks import inputs
from modelkiln.checks.answers import Answers
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Original, hold_vectors
from modelkiln.encoder import Encoder
from modelkiln.files import storable
from modelkiln.lengths import words_of
from modelkiln.recording import Facts

TEXTS = {
    "empty": "",
    "whitespace": " \n\t\u00a0\u2003\u2028 ",
    "control and null": "\0\0null\0\x07\x1b[31m\x7f",
    "emoji": "🙂🚀👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "שלום עולם مرحبا بالعالم",
    "unsegmented": "中文沒有空格ภาษาไทยไม่มีช่องว่าง日本語",
    "no width": "\u200b\ufeff\u2060",
    "combining": "e\u0301" * 40 + "ǆ ﬁ ß ñ ¿",
    "1 MB of one character": "x" * 1_000_000,
    "lone surrogates": "broken \ud83d pair \udc00",
    "special tokens": "[CLS] [SEP] [MASK] [PAD] <s> </s> <mask>",
    "one letter": "a",
    "one word again and again": "very " * 120,
    "one letter again and again": "a " * 300,
    "commas": ", " * 250,
    "digits": "0 1 2 3 4 5 6 7 8 9 " * 12,
    "a table of numbers": "0,0.5,-12,1e-9,3.14159\n" * 20,
    "times and prices": "At 10:45 on 2026-11-27: EUR 1,299.00 (-3.5%), +49 30 901820; " * 4,
    "addresses": "https://example.org/a/b?c=d&e=f#g someone@example.org 192.0.2.1 C:\\Temp\\x.txt " * 4,
    "markup": "<p class='a'>Fish &amp; chips</p><br/><!-- none --> **bold** [link](x) " * 4,
    "source code": "for (int i = 0; i < n; i++) { sum += a[i] * b[i]; } // O(n)\n" * 5,
    "what looks like a key": "QmFzZTY0IGxvb2tzIGxpa2UgdGhpcywgYW5kIHNvIGRvIGtleXM=" * 4,
    "capitals": "THE COUNCIL APPROVED THE NEW TRAM LINE ON TUESDAY. " * 6,
    "unsegmented again and again": "中文沒有空格的長句子" * 12,
    "emoji again and again": "🙂 🚀 " * 40,
    "sentences again and again": "The weir at Low Marsh was closed. " * 40,
}


def test_vectors(judge: Judge, uncompiled: Original, distinct_encoder: Encoder) -> None:
    texts = [*TEXTS.values()]
    hold_vectors(judge, uncompiled.embed(texts), distinct_encoder.encode(texts))


def test_special_tokens(
    judge: Judge, uncompiled: Original, facts: Facts, distinct_encoder: Encoder, texts: list[str]
) -> None:
    """Each that the tokenizer has, written in texts: all of them in a call, and each text alone."""
    asked = inputs.special_texts(facts.tokenizer, words_of(texts))
    expected = uncompiled.embed(asked)
    alone = np.concatenate([distinct_encoder.encode([text]) for text in asked])
    together = distinct_encoder.encode(asked)
    hold_vectors(judge, np.concatenate([expected, expected]), np.concatenate([together, alone]))


def test_answers(judge: Judge, answers: Answers, predictor: Any, bounds: Bounds) -> None:
    task, params = answers.task, answers.task.GOLDEN_PARAMS[0]
    texts = [storable(text) for text in TEXTS.values()]
    parity = task.compare(*answers.both("hostile", texts, params), bounds.tie_atol)
    judge.hold_all(parity.figures)
    alone = {kind: task.predict(predictor, [text], params)[0] for kind, text in TEXTS.items()}
    broken = [kind for kind, answer in alone.items() if not all(np.isfinite(score) for _, score in answer)]
    judge.hold("not_finite", len(broken))
    assert not judge.broken, f"{'; '.join(judge.broken)}: {[*broken, *parity.failures]}"
