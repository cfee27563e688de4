"""Files of documents -> lines of keywords, in constant memory, and on from where an earlier run was stopped."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelkiln.batch.answers import ANEW, AnswerFile, open_answers
from modelkiln.batch.documents import STDIN, Document, Fields, Format, count_documents, find_sources, read_documents
from modelkiln.errors import ModelkilnError
from modelkiln.keywords.streaming import groups
from modelkiln.progress import count, say

if TYPE_CHECKING:
    from modelkiln.keywords.extractor import KeywordExtractor, KeywordOptions


@dataclass(frozen=True)
class Job:
    """What `modelkiln extract` is asked for; its help explains the fields."""

    artifact: str
    paths: Sequence[Path]
    format: Format | None
    fields: Fields
    output: Path | None  # None: stdout
    overwrite: bool
    skip_errors: bool
    options: KeywordOptions
    threads: int | None
    workers: int
    at_once: int
    cache_mb: float
    phrase_cache: Path | None


class StoppedError(Exception):
    """The run was stopped from outside: says what is done."""


def run(job: Job) -> None:
    """Writes the keywords of all documents, a line of JSON each, each as soon as it is known.

    Raises:
        ModelkilnError: something is wrong with the job; or with a document, and what came before it is written.
        StoppedError: Ctrl-C, or SIGTERM where it raises a KeyboardInterrupt. What was written stays, in whole lines.
    """
    written = 0
    try:
        for _ in _written(job):
            written += 1
    except KeyboardInterrupt as stop:
        where = f"{job.output}; the same command goes on from there" if job.output else "stdout"
        raise StoppedError(f"interrupted; this run wrote {written} answers to {where}") from stop


def unanswered(answers: AnswerFile, documents: Iterator[Document], at_once: int) -> tuple[Iterator[Document], int]:
    """The documents from the group on in which the last run stopped, and how many of that group have their answer.

    The whole group is done again, since what stands beside a document decides the last bits of its vector: without
    caches a run in two parts gives the lines of a run in one, and with them it gives the same to a step of rounding.

    Raises:
        ModelkilnError: the documents are not those that have an answer.
    """
    ids = answers.ids()
    passed = 0
    if not answers.found:
        return documents, 0
    parts = groups(documents, lambda document: len(document.text), at_once)
    for group in parts:
        for number, (document, before) in enumerate(zip(group, ids, strict=False), passed + 1):
            if document.id != before:
                raise ModelkilnError(
                    f"{answers.path}, line {number}: answers document {before!r}, but the input's document {number} is "
                    f"{document.id!r}; give the input that it answers, or {ANEW}"
                )
        if passed + len(group) > answers.found:
            return chain(group, chain.from_iterable(parts)), answers.found - passed
        passed += len(group)
    if passed < answers.found:
        raise ModelkilnError(
            f"{answers.path}: {answers.found} answers, but the input has {passed} documents; "
            f"give the input that it answers, or {ANEW}"
        )
    return iter(()), 0


def _written(job: Job) -> Iterator[str]:
    """The lines, each after it was written."""
    import modelkiln
    from modelkiln.artifact import read_manifest
    from modelkiln.registries import folder_of

    sources = find_sources(job.paths, job.format)
    _check_output(job)
    total = count_documents(sources, job.fields)
    documents = read_documents(sources, job.fields)
    folder = folder_of(job.artifact)
    extractor: KeywordExtractor = modelkiln.load(
        folder, threads=job.threads, cache_mb=job.cache_mb, phrase_cache=job.phrase_cache
    )
    # Before anything is overwritten, all options are held to what they may be.
    extractor.stream([], at_once=job.at_once, workers=job.workers, **job.options)
    with ExitStack() as stack:
        write: Callable[[str], None] = _print
        found = again = 0
        if job.output:
            kind = _kind(job, read_manifest(folder).digest)
            answers = stack.enter_context(open_answers(job.output, kind, job.overwrite))
            write, found = answers.write, answers.found
            if found:
                say(f"{job.output}: going on behind the {found:,} answers that it holds")
            documents, again = unanswered(answers, documents, job.at_once)
        lines = stack.enter_context(closing(_lines(extractor, documents, job)))
        for line in count(islice(lines, again, None), "documents", total, found):
            write(line)
            yield line


def _lines(extractor: KeywordExtractor, documents: Iterator[Document], job: Job) -> Generator[str, None, None]:
    read: deque[tuple[str | int, str]] = deque()  # of what was read, and not yet answered

    def texts() -> Iterator[str]:
        for document in documents:
            if document.error and not job.skip_errors:
                raise ModelkilnError(document.error)
            read.append((document.id, document.error))
            yield document.text

    stream = extractor.stream(texts(), at_once=job.at_once, workers=job.workers, **job.options)
    with closing(stream):
        for keywords in stream:
            name, error = read.popleft()
            answer: dict[str, Any] = {"id": name, "error": error} if error else {"id": name, "keywords": keywords}
            yield json.dumps(answer, ensure_ascii=False)


def _check_output(job: Job) -> None:
    if job.output is None:
        if job.overwrite:
            raise ModelkilnError("--overwrite: of which file? Say --output")
        return
    if job.output.suffix.lower() == ".parquet":
        raise ModelkilnError(
            f"{job.output}: answers are written as JSON lines, since a Parquet file that was cut short can't be read"
        )
    if job.output.exists() and any(path != STDIN and path.samefile(job.output) for path in job.paths):
        raise ModelkilnError(f"{job.output}: is also the input; choose another output")


def _kind(job: Job, digest: str) -> dict[str, Any]:
    """What decides the answers. What only decides how fast they come is not in it."""
    options = {name: _fingerprint(value) if isinstance(value, list) else value for name, value in job.options.items()}
    return {
        "artifact": digest,
        "input": [str(path) for path in job.paths],
        "format": job.format.value if job.format else None,
        "text_field": job.fields.text,
        "id_field": job.fields.id,
        **options,
    }


def _fingerprint(words: list[str]) -> str:
    return f"{len(words)} phrases, sha256 {hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]}"


def _print(line: str) -> None:
    print(line, flush=True)
