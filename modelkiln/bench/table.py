"""Figures -> tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from modelkiln.bench.figures import Figure


def speed_table(figures: Iterable[Figure], base: str) -> str:
    """One line for each peer and scenario; without the base nothing is compared."""
    rows = []
    for f in figures:
        least, most = f.ngrams
        same = "" if f.agreement is None else f"{100 * f.agreement:.3g}%"
        peer = f.peer if f.before < 0 else f"{f.peer} (after {f.before} documents)"
        speed = [f.documents, f"{f.documents_per_s:.2f}", *map(_number, (f.p50_ms, f.p95_ms, f.p99_ms))]
        times = "" if f.ratio is None else f"{f.ratio:.2f}"
        rows.append([f"({least},{most})", f.in_a_call, f.threads, peer, *speed, times, _number(f.peak_mb), same])
    head = ["n-grams", "in a call", "threads", "peer", "documents", "documents/s", "p50 ms", "p95 ms"]
    optional = ("p99 ms", f"times {base}", "same keywords")
    return markdown(*_without_empty([*head, "p99 ms", f"times {base}", "peak MB", "same keywords"], rows, optional))


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
    return markdown(*_without_empty(head, rows, (f"of {base}'s",)))


def markdown(head: list[str], rows: list[list[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _without_empty(
    head: list[str], rows: list[list[Any]], optional: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    """The table without those of the optional columns in which no line has anything."""
    kept = [i for i, name in enumerate(head) if name not in optional or any(row[i] != "" for row in rows)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
