"""Items of any number -> their answers, in order and in bounded memory: read, answered and forgotten group by group."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from numbers import Integral
from typing import TypeVar

from modelkiln.errors import ModelkilnError

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 32  # documents in a group at the most: they share the encoding of the phrases that they share
CHARACTERS = 100_000  # a group ends with the document that reaches them, so that long documents come in small groups
# What ties a document's answer to the documents beside it, and the value that does not.
TIED: dict[str, object] = {"min_df": 1, "vectorizer": None, "doc_embeddings": None, "word_embeddings": None}


def stream(
    texts: Iterable[str], answer: Callable[[list[str]], list[R]], at_once: int, workers: int
) -> Generator[R, None, None]:
    """The answer to each text, in the order of the texts; read in the caller's thread, and only when one is asked for.

    What `texts` raises is raised after the answers to all that came before it. Closing the generator drops the groups
    that wait; one that a worker has begun is finished in the background.

    Args:
        texts: Any number of texts.
        answer: Gives the answers to a group, one for each text.
        at_once: Texts in a group, at the most.
        workers: Groups that are answered at once, each in a thread; 1: in the caller's. Twice as many are in memory,
            and where the source stalls, answers may wait with it.

    Raises:
        ModelkilnError: an item is no text.
    """
    source = groups(_checked(texts), len, at_once)
    if workers == 1:
        for group in source:
            yield from answer(group)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="modelkiln-stream")
    waiting: deque[Future[list[R]]] = deque()
    failure: Exception | None = None
    reading = True
    try:
        while reading or waiting:
            # An answer that is there by now does not wait for the source.
            while reading and len(waiting) < 2 * workers and not (waiting and waiting[0].done()):
                try:
                    following = next(source, None)
                except Exception as error:  # raised below, after what came before it
                    failure, following = error, None
                reading = following is not None
                if following is not None:
                    waiting.append(pool.submit(answer, following))
            if waiting:
                yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if failure:
        raise failure


def groups(items: Iterable[T], size: Callable[[T], int], at_once: int) -> Iterator[list[T]]:
    """The items in groups, each as soon as it is full: `at_once` items, or CHARACTERS by the sum of their sizes.

    Where the items raise, what was read before is a last group, and then the error is raised.
    """
    source = iter(items)
    failure: Exception | None = None
    while failure is None:
        group: list[T] = []
        characters = 0
        try:
            for item in islice(source, at_once):
                group.append(item)
                characters += size(item)
                if characters >= CHARACTERS:
                    break
        except Exception as error:  # raised below
            failure = error
        if not group:
            break
        yield group
    if failure:
        raise failure


def check(texts: object, at_once: object, workers: object, options: Mapping[str, object]) -> None:
    """Raises a ModelkilnError where a stream of documents can't be what is asked for."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise ModelkilnError(f"docs: expected texts, one after the other, found {type(texts).__name__}")
    for name, value in (("at_once", at_once), ("workers", workers)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ModelkilnError(f"{name} must be a whole number of at least 1, found {value!r}")
    for name, free in TIED.items():
        value = options.get(name, free)
        if value is not free and (free is None or value != free or isinstance(value, float)):
            raise ModelkilnError(
                f"{name}: not in a stream, where a document's keywords depend on that document alone; "
                "use extract_keywords"
            )
    seeds = options.get("seed_keywords")
    if isinstance(seeds, list | tuple) and not all(isinstance(word, str) for word in seeds):
        raise ModelkilnError("seed_keywords: expected one list of words for all documents of a stream")


def _checked(texts: Iterable[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ModelkilnError(f"docs[{index}]: expected text, found {type(text).__name__}")
        yield text
