"""A text's answer is its own: alone, in company, in any order, twice in a call, from two threads, and again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from modelkiln import tasks
from modelkiln.artifact import Manifest
from modelkiln.bounds import Bounds
from modelkiln.checks.plugin import Judge
from modelkiln.encoder import Encoder, Vectors
from modelkiln.figures import CALLS
from modelkiln.lengths import text_of_length, words_of

LENGTHS = (4, 5, 7, 8, 12, 16, 17, 24, 31, 33, 48, 64, 65, 90, 128)  # tokens; shorter than any encoder's longest or cut
ROUNDS = CALLS // 4  # of each of two threads, with two calls in each
EVERY_NUMBER = 8  # texts in a call: each number up to here, and then around the powers of two
MOST = 512  # texts in a call, and one more
DOCUMENTS = 10
WORDS = 60


@pytest.fixture
def mixed(distinct_encoder: Encoder, texts: list[str]) -> list[str]:
    """Texts of very different lengths."""
    words = " ".join(texts).split()
    lengths = (*LENGTHS, distinct_encoder.spec.max_length)
    return [text_of_length(distinct_encoder, words, length) for length in lengths]


@pytest.fixture
def alone(distinct_encoder: Encoder, mixed: list[str]) -> Vectors:
    """The vector of each, encoded alone."""
    return np.concatenate([distinct_encoder.encode([text]) for text in mixed])


def test_company_and_order(judge: Judge, distinct_encoder: Encoder, mixed: list[str], alone: Vectors) -> None:
    encoder = distinct_encoder
    shuffled = np.random.default_rng(0).permutation(len(mixed))
    twice = [row for row in range(len(mixed)) for _ in range(2)]
    for name, rows in (
        ("together", list(range(len(mixed)))),
        ("reversed", list(range(len(mixed)))[::-1]),
        ("shuffled", shuffled.tolist()),
        ("twice_in_a_call", twice),
        ("again", list(range(len(mixed)))),
    ):
        found = encoder.encode([mixed[row] for row in rows])
        judge.hold(name, _difference(found, alone[rows]))
    beside = [encoder.encode([text, mixed[-1]])[0] for text in mixed]
    judge.hold("beside_the_longest", _difference(np.stack(beside), alone))


def test_number_of_texts_in_a_call(judge: Judge, distinct_encoder: Encoder, texts: list[str]) -> None:
    encoder = distinct_encoder
    words = words_of(texts)
    most = min(encoder.spec.max_batch, MOST) + 1
    short = [words[(i * 7 + i // len(words)) % len(words)] for i in range(most)]
    around = {2**power + step for power in range(4, 8) for step in (-1, 0, 1)} | {most - 1, most}
    numbers = sorted({*range(1, min(EVERY_NUMBER, most) + 1), *(number for number in around if number <= most)})
    everything = encoder.encode(short)
    apart = np.concatenate([encoder.encode([text]) for text in short[:EVERY_NUMBER]])
    judge.hold("alone", _difference(apart, everything[: len(apart)]))
    of_number = {number: _difference(encoder.encode(short[:number]), everything[:number]) for number in numbers}
    worst = max(of_number, key=lambda number: (np.isnan(of_number[number]), of_number[number]))
    judge.hold("every_number", of_number[worst])
    assert not judge.broken, f"{'; '.join(judge.broken)} (worst with {worst} texts in a call)"


def test_two_threads(judge: Judge, distinct_encoder: Encoder, mixed: list[str], alone: Vectors) -> None:
    """Each thread with texts of its own, so that whatever they share is seen in an answer."""
    encoder = distinct_encoder
    halves = [list(range(0, len(mixed) - 1, 2)), list(range(1, len(mixed) - 1, 2))]
    found: list[list[float]] = [[], []]

    def work(number: int) -> None:
        rows = halves[number]
        for turn in range(ROUNDS):
            row = rows[turn % len(rows)]
            found[number].append(_difference(encoder.encode([mixed[row]]), alone[[row]]))
            found[number].append(_difference(encoder.encode([mixed[each] for each in rows]), alone[rows]))

    with _hurried():
        workers = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    judge.hold("calls", len(found[0]) + len(found[1]))  # fewer: a thread has raised
    judge.hold("max_abs_difference", float(np.max(found[0] + found[1])))


def test_answers_alone_together_and_again(
    judge: Judge, predictor: Any, manifest: Manifest, texts: list[str], bounds: Bounds
) -> None:
    """By the model as it is served, whose caches have met these documents' phrases by then."""
    task = tasks.load(manifest.task)
    texts, params = texts[:: -(-len(texts) // DOCUMENTS)], task.GOLDEN_PARAMS[0]
    together = task.predict(predictor, texts, params)
    alone = [task.predict(predictor, [text], params)[0] for text in texts]
    backwards = task.predict(predictor, texts[::-1], params)[::-1]
    for name, found in (("alone", alone), ("backwards", backwards)):
        parity = task.compare(together, found, bounds.tie_atol)
        judge.hold(f"agreement_{name}", parity.figures["agreement"])
        judge.hold(f"max_score_difference_{name}", parity.figures["max_score_difference"])


def test_caches_confuse_no_texts(
    judge: Judge, predictor: Any, forgetful: Any, encoder_name: str, texts: list[str]
) -> None:
    """Texts that differ little, asked for twice of the model as it is served: the second time they may be kept ones."""
    words = words_of(texts, WORDS)
    asked = [form for word in words for form in (word, word.upper(), word[::-1], f"{word} {word}", f"{word}s")]
    kept = getattr(predictor, encoder_name)
    first, second = kept.encode(asked), kept.encode(asked[::-1])[::-1]
    computed = getattr(forgetful, encoder_name).encode(asked)
    judge.hold("first", _difference(first, computed))
    judge.hold("second", _difference(second, computed))


def _difference(found: Vectors, expected: Vectors) -> float:
    return float(np.abs(found.astype(np.float64) - expected).max())


@contextmanager
def _hurried() -> Iterator[None]:
    """Python changes from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
