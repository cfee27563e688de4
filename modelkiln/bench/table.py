"""Figures -> tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from modelkiln.bench.figures import Figure


def speed_table(figures: Iterable[Figure], base: str) -> str:
    """One line for each peer and scenario."""
    rows = []
    for f in figures:
        least, most = f.ngrams
        same = "" if f.agreement is None else f"{100 * f.agreement:.3g}%"
        peer = f.peer if f.before < 0 else f"{f.peer} (after {f.before} documents)"
        speed = [f.documents, f"{f.documents_per_s:.2f}", _number(f.p50_ms), _number(f.p95_ms)]
        times = "" if f.ratio is None else f"{f.ratio:.2f}"
        rows.append([f"({least},{most})", f.in_a_call, f.threads, peer, *speed, times, _number(f.peak_mb), same])
    head = ["n-grams", "in a call", "threads", "peer", "documents", "documents/s", "p50 ms", "p95 ms"]
    return markdown([*head, f"times {base}", "peak MB", "same keywords"], rows)


def start_table(starts: Mapping[tuple[str, int], Mapping[str, Any]], base: str) -> str:
    """What it takes to have a first keyword, from the start of the process, on the disk and in memory."""
    rows = []
    for (peer, threads), start in starts.items():
        first = median(start["first_s"])
        reference = starts.get((base, threads))
        # Paired: the peers were started in turns.
        ratios = [a / b for a, b in zip(start["first_s"], reference["first_s"], strict=False)] if reference else []
        versions = ", ".join(f"{library} {version}" for library, version in start["versions"].items())
        share = f"{median(ratios):.2f}" if ratios else ""
        sizes = [f"{start['first_peak_mb']:.0f}", f"{start['files_mb']:.0f}"]
        rows.append([peer, threads, f"{first:.2f}", share, *sizes, versions])
    head = ["peer", "threads", "first keyword s", f"of {base}'s", "peak MB by then", "files MB", "versions"]
    return markdown(head, rows)


def markdown(head: list[str], rows: list[list[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
