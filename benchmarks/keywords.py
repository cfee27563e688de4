"""modelkiln's keyword extraction against KeyBERT over sentence-transformers: the same documents, in turns, in one run.

    make bench
    python -m benchmarks.keywords --documents texts.jsonl --threads 1 --rounds 5

A B A B: each round measures both, so that a machine that slows down slows both down. Medians over the rounds. Absolute
times are this machine's and this moment's; the ratios are what lasts.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODES: dict[str, dict[str, Any]] = {"(1,1)": {}, "(1,2)": {"keyphrase_ngram_range": (1, 2)}}


@dataclass
class Times:
    """One peer in one mode: seconds of each document alone, and of all of them in one call, over the rounds."""

    single: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)  # of all documents, one at a time
    together: list[float] = field(default_factory=list)


def main() -> int:
    """Measures, checks that the answers agree, and prints the table."""
    options = _options()
    # Before anything imports numpy, torch or tokenizers: they read these once.
    for library in ("OMP", "MKL", "OPENBLAS", "RAYON"):
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    from modelkiln.errors import ModelkilnError
    from modelkiln.golden import read_samples
    from modelkiln.progress import say

    try:
        texts = [sample.text for sample in read_samples(options.documents)][: options.limit]
        peers = _peers(options.artifact, options.source, options.threads)
    except ModelkilnError as error:
        say(f"benchmark: {error}")
        return 1
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {options.threads} thread(s); ", end=""
    )
    print(f"{len(texts)} documents, {options.rounds} rounds, the peers in turns\n")
    print("| n-grams | documents in a call | peer | documents/s | p50 ms | p95 ms | ratio |")
    print("|---|---|---|---|---|---|---|")
    for mode, settings in MODES.items():
        times = {name: Times() for name in peers}
        agreement = _agreement(peers, texts, settings)  # also the warm-up
        for number in range(options.rounds):
            say(f"{mode}: round {number + 1} of {options.rounds}")
            for name, extract in peers.items():
                _measure(extract, texts, settings, times[name])
        _print(mode, times, len(texts))
        print(f"\nagreement in {mode}: {agreement:.0%} of documents\n" if agreement < 1 else "", end="")
    print(
        "\nratio: modelkiln's documents/s over KeyBERT's. The answers agree on every document, unless said otherwise."
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=Path("artifacts/compiled"))
    parser.add_argument("--source", type=Path, default=Path("artifacts/source"))
    parser.add_argument("--documents", type=Path, help="JSONL with id and text (default: the golden samples)")
    parser.add_argument("--limit", type=int, help="only the first so many documents")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _peers(artifact: Path, source: Path, threads: int) -> dict[str, Callable[..., Any]]:
    import torch
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    import modelkiln

    ours = modelkiln.load(artifact, threads=threads)
    torch.set_num_threads(threads)
    theirs = KeyBERT(SentenceTransformer(str(source), device="cpu", local_files_only=True))
    return {"KeyBERT, sentence-transformers": theirs.extract_keywords, "modelkiln": ours.extract_keywords}


def _measure(extract: Callable[..., Any], texts: list[str], settings: dict[str, Any], times: Times) -> None:
    started = time.perf_counter()
    for text in texts:
        before = time.perf_counter()
        extract(text, **settings)
        times.single.append(time.perf_counter() - before)
    times.rounds.append(time.perf_counter() - started)
    before = time.perf_counter()
    extract(texts, **settings)
    times.together.append(time.perf_counter() - before)


def _agreement(peers: dict[str, Callable[..., Any]], texts: list[str], settings: dict[str, Any]) -> float:
    from modelkiln.parity import compare_keywords

    # One at a time: for a list of one document KeyBERT's answer has another shape.
    expected, found = ([extract(text, **settings) for text in texts] for extract in peers.values())
    return compare_keywords(expected, found, 1e-4).figures["agreement"]


def _print(mode: str, times: dict[str, Times], documents: int) -> None:
    rates = {name: documents / statistics.median(peer.rounds) for name, peer in times.items()}
    base, _ = rates.values()
    for name, peer in times.items():
        milliseconds = [1000 * seconds for seconds in peer.single]
        p95 = sorted(milliseconds)[int(0.95 * (len(milliseconds) - 1))]
        p50 = statistics.median(milliseconds)
        print(f"| {mode} | 1 | {name} | {rates[name]:.2f} | {p50:.0f} | {p95:.0f} | {rates[name] / base:.2f} |")
    rates = {name: documents / statistics.median(peer.together) for name, peer in times.items()}
    base, _ = rates.values()
    for name in times:
        print(f"| {mode} | {documents} | {name} | {rates[name]:.2f} | | | {rates[name] / base:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
