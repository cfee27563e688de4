"""What the compiled vocabulary adds to `make repro`: the compile stage with it and without, one after the other."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from modelkiln import params, toolchain
from modelkiln.compiler import compile_artifact


def measure_table_cost(source: Path) -> dict[str, float]:
    """Seconds of the compile stage, as params.yaml has it, without the table and with it."""
    wanted = params.load().compile
    versions = toolchain.read([wanted.backend, wanted.task])
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        for name, vocabulary in (("without_s", None), ("with_s", "word")):
            started = time.perf_counter()
            compile_artifact(source, Path(scratch) / name, replace(wanted, vocabulary=vocabulary), versions)
            seconds[name] = time.perf_counter() - started
    return seconds
