"""How fast an artifact answers on this machine: loading, one document at a time, all in one call.

python -m modelkiln.latency ARTIFACT GOLDEN.jsonl
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import modelkiln
from modelkiln.files import to_json
from modelkiln.golden import read_samples


def measure(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Seconds to load and to the first answer, milliseconds for one document, documents per second in one call.

    Measured once, in this process, with default options and threads: a first impression. Comparisons belong in paired
    runs (benchmarks/). Loading includes the import of the backend's library in a process that has not imported it.
    """
    started = time.perf_counter()
    predictor = modelkiln.load(folder)
    loaded = time.perf_counter()
    predictor.extract_keywords(texts[0])
    answered = time.perf_counter()
    single = []
    for text in texts:
        before = time.perf_counter()
        predictor.extract_keywords(text)
        single.append((time.perf_counter() - before) * 1000)
    before = time.perf_counter()
    predictor.extract_keywords(texts)
    together = time.perf_counter() - before
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    figures = {
        "load_s": loaded - started,
        "first_answer_s": answered - started,
        "single_p50_ms": statistics.median(single),
        "single_p95_ms": statistics.quantiles(single, n=20, method="inclusive")[-1] if len(single) > 1 else single[0],
        "batch_docs_per_s": len(texts) / together,
        "artifact_mb": size / 1e6,
    }
    return {"documents": len(texts), **{name: round(value, 3) for name, value in figures.items()}}


if __name__ == "__main__":
    print(to_json(measure(Path(sys.argv[1]), [sample.text for sample in read_samples(Path(sys.argv[2]))])), end="")
