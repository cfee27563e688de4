"""A stream answers as extract_keywords does, in order, in bounded memory, whatever its source does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.keywords import streaming
from modelkiln.keywords.extractor import KeywordExtractor

SENTENCES = [sentence for sample in read_samples() for sentence in sample.text.split(". ")]


@pytest.fixture(scope="module")
def extractor(table_artifact: Path) -> KeywordExtractor:
    found: KeywordExtractor = modelkiln.load(table_artifact, threads=1)
    # Every phrase is met once, so that its vector's last bits don't depend on which of the workers meets it first.
    found.extract_keywords(SENTENCES, keyphrase_ngram_range=(1, 2))
    return found


def shout(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


class Counting:
    """A source that knows how much of it was read."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for index in range(self.length):
            self.read += 1
            yield f"text {index}"


@pytest.mark.parametrize("options", [{}, {"keyphrase_ngram_range": (1, 2), "use_mmr": True}], ids=str)
@pytest.mark.parametrize("workers", [1, 3])
def test_stream_gives_what_each_document_alone_gives(
    workers: int, options: dict[str, Any], extractor: KeywordExtractor
) -> None:
    found = list(extractor.stream(iter(SENTENCES), workers=workers, at_once=7, **options))
    alone = [extractor.extract_keywords(sentence, **options) for sentence in SENTENCES]
    for ours, theirs in zip(found, alone, strict=True):
        assert [word for word, _ in ours] == [word for word, _ in theirs]
        assert [score for _, score in ours] == pytest.approx(
            [score for _, score in theirs], abs=1.01e-4
        )  # a step of rounding


@pytest.mark.parametrize(("workers", "most"), [(1, 4), (2, 16)])
def test_no_more_is_read_than_is_being_answered(workers: int, most: int) -> None:
    source = Counting(1000)
    answers = streaming.stream(source, shout, 4, workers)
    assert source.read == 0
    for index, answer in enumerate(answers, 1):
        assert answer == f"TEXT {index - 1}"
        assert source.read <= index - 1 + most
    assert source.read == index == 1000


def test_long_documents_come_in_small_groups() -> None:
    long = "x" * (streaming.CHARACTERS // 2)
    sizes = [len(group) for group in streaming.groups([long] * 5 + ["short"] * 3 + [long * 9], len, 4)]
    assert sizes == [2, 2, 4, 1]


@given(st.lists(st.integers(0, streaming.CHARACTERS)), st.integers(1, 5))
def test_groups_hold_every_item_once_in_order(sizes: list[int], at_once: int) -> None:
    groups = list(streaming.groups(sizes, int, at_once))
    assert [size for group in groups for size in group] == sizes
    assert all(1 <= len(group) <= at_once and sum(group[:-1]) < streaming.CHARACTERS for group in groups)


def test_slow_answers_keep_their_order() -> None:
    def slow_first(texts: list[str]) -> list[str]:
        time.sleep(0.2 if texts[0] == "text 0" else 0)
        return shout(texts)

    assert list(streaming.stream(Counting(20), slow_first, 2, 4)) == [f"TEXT {index}" for index in range(20)]


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)

    def meet(texts: list[str]) -> list[str]:
        together.wait()
        return texts

    assert len(list(streaming.stream(Counting(3), meet, 1, 3))) == 3


def test_answer_does_not_wait_for_a_slow_source() -> None:
    asked = threading.Event()

    def source() -> Iterator[str]:
        yield "first"
        time.sleep(0.2)  # the first is answered by now
        yield "second"
        asked.set()
        yield "third"

    answers = streaming.stream(source(), shout, 1, 2)
    assert next(answers) == "FIRST"
    assert not asked.is_set()
    assert list(answers) == ["SECOND", "THIRD"]


@pytest.mark.parametrize("workers", [1, 2])
def test_source_that_breaks_gives_all_that_came_before_it(workers: int) -> None:
    def breaking() -> Iterator[str]:
        yield from Counting(11)
        raise ConnectionResetError("gone")

    def slow(texts: list[str]) -> list[str]:
        time.sleep(0.1)
        return shout(texts)

    answers: list[str] = []
    with pytest.raises(ConnectionResetError, match="gone"):
        answers.extend(streaming.stream(breaking(), slow, 4, workers))
    assert answers == shout(list(Counting(11)))


@pytest.mark.parametrize("workers", [1, 2])
def test_document_that_is_no_text_is_named_after_those_before_it(workers: int, extractor: KeywordExtractor) -> None:
    docs: list[Any] = [*SENTENCES[:3], b"bytes", "more"]
    found: list[Any] = []
    with pytest.raises(ModelkilnError, match=r"docs\[3\]: expected text, found bytes"):
        found.extend(extractor.stream(docs, at_once=2, workers=workers))
    assert found == extractor.extract_keywords(SENTENCES[:3])


@pytest.mark.parametrize("workers", [1, 2])
def test_group_that_fails_fails_in_its_turn(workers: int) -> None:
    def failing(texts: list[str]) -> list[str]:
        if "text 4" in texts:
            raise MemoryError
        return texts

    answers = streaming.stream(Counting(100), failing, 2, workers)
    assert [next(answers) for _ in range(4)] == [f"text {index}" for index in range(4)]
    with pytest.raises(MemoryError):
        next(answers)


def test_closing_drops_what_has_not_begun() -> None:
    begun: list[str] = []
    gate = threading.Event()

    def wait(texts: list[str]) -> list[str]:
        begun.append(texts[0])
        if texts[0] == "text 0":
            wait_for(lambda: source.read == 4)  # two at work, two behind them
        else:
            gate.wait(30)
        return texts

    source = Counting(1000)
    answers = streaming.stream(source, wait, 1, 2)
    assert next(answers) == "text 0"
    started = time.perf_counter()
    answers.close()
    assert time.perf_counter() - started < 5  # it does not wait for what has begun
    gate.set()
    wait_for(lambda: not any(thread.name.startswith("modelkiln-stream") for thread in threading.enumerate()))
    assert len(begun) <= 3
    assert source.read == 4


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 30
    while not condition():
        assert time.perf_counter() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_df": 2}, "min_df: not in a stream"),
        ({"min_df": 0.5}, "min_df: not in a stream"),
        ({"seed_keywords": [["rain"], ["tram"]]}, "seed_keywords: expected one list of words for all documents"),
        ({"workers": 0}, "workers must be a whole number of at least 1, found 0"),
        ({"at_once": 1.5}, "at_once must be a whole number of at least 1, found 1.5"),
        ({"top_n": 0}, "top_n must be"),
        ({"stop_words": "klingon"}, "no list named 'klingon'"),
    ],
)
def test_stream_refuses_at_once_what_it_can_not_do(
    options: dict[str, Any], message: str, extractor: KeywordExtractor
) -> None:
    source = Counting(3)
    with pytest.raises(ModelkilnError, match=message) as raised:
        extractor.stream(source, **options)
    assert "\n" not in str(raised.value)
    assert source.read == 0


@pytest.mark.parametrize("docs", ["one text", b"bytes", 3, None])
def test_stream_takes_documents_not_a_document(docs: Any, extractor: KeywordExtractor) -> None:
    with pytest.raises(ModelkilnError, match="docs: expected texts, one after the other"):
        extractor.stream(docs)


def test_options_that_change_nothing_are_taken(extractor: KeywordExtractor) -> None:
    (keywords,) = extractor.stream(["Rain stopped the tram"], min_df=1, seed_keywords=["weather"])
    assert keywords == extractor.extract_keywords("Rain stopped the tram", seed_keywords=["weather"])
