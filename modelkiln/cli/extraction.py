"""`modelkiln extract`: its options, and how it stops."""

from __future__ import annotations

import signal
import warnings
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from modelkiln import MOST_THREADS
from modelkiln.batch.documents import STDIN, Fields, Format, read_words
from modelkiln.batch.job import Job, StoppedError, run
from modelkiln.cli.artifacts import ArtifactRef
from modelkiln.errors import ModelkilnError
from modelkiln.keywords.streaming import AT_ONCE
from modelkiln.progress import say


class Diversify(Enum):
    """How to keep keywords from being all alike."""

    mmr = "mmr"
    maxsum = "maxsum"


class OnError(Enum):
    """What to do about a document that can't be read."""

    stop = "stop"
    skip = "skip"


def extract(
    artifact: ArtifactRef,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT",
            help=".txt (one document), .jsonl (an object a line), .parquet (a row each). None, or -: standard input.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file, and go on behind the answers that it holds already.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start the output file anew.")] = False,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Of the input, whatever its suffix. Standard input: text, jsonl.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="Where a line or a row has its text.")] = "text",
    id_field: Annotated[
        str | None, typer.Option(help="Where it has its id. Default: `id`, or else the number of the line or row.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="At a document that can't be read: stop, or give its error for an answer.")
    ] = OnError.stop,
    top_n: Annotated[int, typer.Option(help="Keywords for each document, at the most.")] = 5,
    ngrams: Annotated[str, typer.Option(help="The least and the most words in a keyword, as 1,2.")] = "1,1",
    stop_words: Annotated[str, typer.Option(help="`english`, `none`, or a file with one word per line.")] = "english",
    candidates: Annotated[
        Path | None, typer.Option(help="A file of phrases, one per line: only these, where a document has them.")
    ] = None,
    seed_keywords: Annotated[
        str | None, typer.Option(help="Words that pull the keywords towards them, as weather,transport.")
    ] = None,
    diversify: Annotated[Diversify | None, typer.Option(help="Prefer keywords that are not alike.")] = None,
    diversity: Annotated[float, typer.Option(help="For mmr: 0 (nearness alone) to 1 (distance alone).")] = 0.5,
    nr_candidates: Annotated[int, typer.Option(help="For maxsum: how many of the nearest to choose from.")] = 20,
    threads: Annotated[int | None, typer.Option(help="For a call of the graph. Default: the backend's choice.")] = None,
    workers: Annotated[int, typer.Option(help="Groups of documents at a time; as a rule with --threads 1.")] = 1,
    at_once: Annotated[
        int, typer.Option(help="Documents in a group; 1: each is answered when it comes, more: faster.")
    ] = AT_ONCE,
    cache_mb: Annotated[float, typer.Option(help="Megabytes for the vectors of phrases that were met; 0: none.")] = 64,
    phrase_cache: Annotated[
        Path | None, typer.Option(help="A file that keeps them for later runs, and for others at the same time.")
    ] = None,
) -> None:
    """Extract keywords, as KeyBERT does it. Writes a line of JSON for each document: `{"id": …, "keywords": […]}`.

    The memory it takes does not grow with the number of documents. A run with --output that was stopped, by Ctrl-C, a
    bad document or kill -9, goes on where it was when the same command is given again.

    - Text: `modelkiln extract artifacts/compiled article.txt --ngrams 1,2`
    - JSON lines: `modelkiln extract artifacts/compiled news.jsonl --text-field body --output keywords.jsonl`
    - Parquet: `modelkiln extract artifacts/compiled news.parquet --id-field url --output keywords.jsonl`
    - Standard input: `zcat news.jsonl.gz | modelkiln extract artifacts/compiled --format jsonl`
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ModelkilnError(f"--threads must be from 1 to {MOST_THREADS}, found {threads}")
    if not 1 <= workers <= MOST_THREADS:
        raise ModelkilnError(f"--workers must be from 1 to {MOST_THREADS}, found {workers}")
    job = Job(
        artifact=artifact,
        paths=inputs or [STDIN],
        format=format_,
        fields=Fields(text_field, id_field),
        output=output,
        overwrite=overwrite,
        skip_errors=on_error is OnError.skip,
        options={
            "top_n": top_n,
            "keyphrase_ngram_range": _ngrams(ngrams),
            "stop_words": _stop_words(stop_words),
            "candidates": read_words(candidates) if candidates else None,
            "seed_keywords": _seeds(seed_keywords),
            "use_mmr": diversify is Diversify.mmr,
            "use_maxsum": diversify is Diversify.maxsum,
            "diversity": diversity,
            "nr_candidates": nr_candidates,
        },
        threads=threads,
        workers=workers,
        at_once=at_once,
        cache_mb=cache_mb,
        phrase_cache=phrase_cache,
    )
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"modelkiln: {message}")  # one line, as an error is
            run(job)
    except StoppedError as stopped:
        # Groups that were begun in workers still end; who presses Ctrl-C again does not wait for them.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        say(f"modelkiln: {stopped}")
        by_terminate = isinstance(stopped.__cause__, _Terminated)
        raise typer.Exit(128 + (signal.SIGTERM if by_terminate else signal.SIGINT)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signal module's)
    raise _Terminated


def _ngrams(text: str) -> tuple[int, int]:
    try:
        least, most = (int(number) for number in text.split(","))
    except ValueError:
        raise ModelkilnError(f"--ngrams: expected two numbers, as 1,2; found {text!r}") from None
    return least, most


def _stop_words(text: str) -> str | list[str] | None:
    if text == "none":
        return None
    path = Path(text)
    if text == "english" or not path.exists():
        return text
    return [word.lower() for word in read_words(path)]


def _seeds(text: str | None) -> list[str] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ModelkilnError(f"--seed-keywords: expected words with commas between them, found {text!r}")
    return words
