"""Many documents through `modelkiln extract`, from a file: is the memory constant, and the cost of a document?

The documents are windows of WORDS words, one word apart, over the words of the given texts: different, of one length,
and short, so that 100,000 of them take minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelkiln.bench.process import environment
from modelkiln.errors import ModelkilnError
from modelkiln.progress import track

WORDS = 12
SAMPLES = 20


def measure_stream(artifact: Path, texts: Sequence[str], documents: int) -> dict[str, Any]:
    """Seconds and resident memory after each twentieth of the documents, one thread, (1,1).

    Raises:
        ModelkilnError: the command ended early.
    """
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        path = Path(scratch) / "documents.jsonl"
        _write(path, " ".join(texts).split(), documents)
        command = [sys.executable, "-m", "modelkiln.cli", "extract", str(artifact), str(path), "--threads", "1"]
        samples = []
        with (Path(scratch) / "errors").open("w+") as errors:
            started = time.perf_counter()
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(sys.executable, 1)
            ) as process:
                lines: Any = process.stdout
                every = max(1, documents // SAMPLES)
                done = 0
                for done, _ in enumerate(track(lines, "documents from a file", documents), 1):
                    if done % every == 0:
                        seconds = time.perf_counter() - started
                        samples.append({"documents": done, "seconds": seconds, "rss_mb": _rss_mb(process.pid)})
            if done != documents:
                errors.seek(0)
                said = errors.read().splitlines()[-1:]
                raise ModelkilnError(f"stream: {done} answers for {documents} documents; {' '.join(said)}")
    return {"documents": documents, "words": WORDS, "samples": samples, **_verdict(samples)}


def _verdict(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The last fifth of the documents against the second fifth: the first one fills the caches."""
    fifth = len(samples) // 5
    if not fifth:
        return {}
    early, late = samples[fifth - 1 : 2 * fifth], samples[-fifth - 1 :]
    cost = [(part[-1]["seconds"] - part[0]["seconds"]) / (len(part) - 1) for part in (early, late)]
    memory = [max(sample["rss_mb"] for sample in part) for part in (early, late)]
    return {"cost_ratio": cost[1] / cost[0], "memory_growth_mb": memory[1] - memory[0]}


def _write(path: Path, words: Sequence[str], documents: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(documents):
            # Once round, every second word, then every third, and so on: other documents, as long as before.
            turn, start = divmod(number, len(words))
            text = " ".join(words[(start + place * (turn + 1)) % len(words)] for place in range(WORDS))
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")


def _rss_mb(pid: int) -> float:
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return float(psutil.Process(pid).memory_info().rss / 1e6)
