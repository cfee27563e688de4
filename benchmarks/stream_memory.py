"""The memory and the speed of `modelkiln extract` while it works through many documents: both should stay flat.

    python -m benchmarks.stream_memory ARTIFACT 100000
    python -m benchmarks.stream_memory artifacts/compiled 5000 --words 60 -- --threads 1 --ngrams 1,2

Documents of `--words` words each are drawn, from a fixed seed, out of the words of the golden samples and of made-up
ones, as texts bring new words for ever. `modelkiln extract` runs as a process of its own; its resident memory is read
from /proc (Linux) ten times a second, and a row is printed for every tenth of the documents. What stands behind `--`
goes to `modelkiln extract`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from modelkiln.golden import read_samples
from modelkiln.progress import say

SECONDS_BETWEEN_SAMPLES = 0.1
ROWS = 10
MADE_UP = 0.1  # of the words


@dataclass(frozen=True)
class Measured:
    """The process at one moment."""

    seconds: float
    documents: int
    megabytes: float


def main() -> int:
    """Writes the documents, runs the command, and prints the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="modelkiln-stream-") as folder:
        documents, answers = Path(folder) / "documents.jsonl", Path(folder) / "answers.jsonl"
        _write_documents(documents, options.documents, options.words)
        command = ["extract", options.artifact, str(documents), "--output", str(answers), *options.extract]
        process = subprocess.Popen([sys.executable, "-m", "modelkiln.cli", *command])
        try:
            moments = _watch(process, answers)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        say(f"stream_memory: modelkiln extract ended with exit code {process.returncode}")
        return 1
    _print(moments, options.documents)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("documents", type=int)
    parser.add_argument("--words", type=int, default=20, help="in a document")
    parser.add_argument("extract", nargs="*", metavar="-- OPTION", help="options of modelkiln extract, behind --")
    return parser.parse_args()


def _write_documents(path: Path, documents: int, words: int) -> None:
    known = sorted({word for sample in read_samples() for word in re.findall(r"\w+", sample.text)})
    draw = random.Random(0)  # noqa: S311 (a seed, no secret)
    with path.open("w", encoding="utf-8") as file:
        for number in range(documents):
            text = [
                "".join(draw.choices("abcdefghiklmnoprstu", k=6)) if draw.random() < MADE_UP else draw.choice(known)
                for _ in range(words)
            ]
            file.write(json.dumps({"id": number, "text": " ".join(text)}, ensure_ascii=False) + "\n")


def _watch(process: subprocess.Popen[bytes], answers: Path) -> list[Measured]:
    began = time.perf_counter()
    moments = []
    count = place = 0
    while process.poll() is None:
        if answers.exists():
            with answers.open("rb") as file:
                file.seek(place)
                new = file.read()
            count += new.count(b"\n")
            place += len(new)
            if megabytes := _resident(process.pid):
                moments.append(Measured(time.perf_counter() - began, count, megabytes))
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    return moments


def _resident(pid: int) -> float:
    """Megabytes; 0 when the process has just ended."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0


def _print(moments: list[Measured], documents: int) -> None:
    # From the first answer on: what came before was loading.
    working = [moment for moment in moments if moment.documents]
    rows = [working[0]]
    for tenth in range(1, ROWS + 1):
        rows.append(next((each for each in working if each.documents >= documents * tenth / ROWS), working[-1]))
    rows = list(dict.fromkeys(rows))  # few documents are done between two looks
    print("| documents done | documents/s | most RSS MB |\n|---|---|---|")
    for before, after in itertools.pairwise(rows):
        seconds = after.seconds - before.seconds
        most = max(moment.megabytes for moment in working if before.seconds < moment.seconds <= after.seconds)
        rate = (after.documents - before.documents) / seconds
        print(f"| {after.documents} | {rate:.1f} | {most:.0f} |")
    print(f"\npeak: {max(moment.megabytes for moment in moments):.0f} MB; {moments[-1].seconds:.1f} s in all")


if __name__ == "__main__":
    sys.exit(main())
