"""Every backend, in every precision that conf/backend offers: what it costs to compile, to load and to run.

All are compiled without a table, so that only the graphs differ.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln import params, toolchain
from modelkiln.bench.figures import figures
from modelkiln.bench.measure import Plan, Scenario, measure
from modelkiln.bench.peers import BASE, NAMES, Limits, Places, choose
from modelkiln.bench.process import Peer
from modelkiln.compiler import compile_artifact
from modelkiln.compose import CONF, compose
from modelkiln.errors import ModelkilnError
from modelkiln.progress import say

SCENARIO = Scenario((1, 1), 1)


def measure_backends(source: Path, texts: Sequence[str], documents: int, rounds: int, starts: int) -> dict[str, Any]:
    """Of each option its compile seconds, size, start, memory, speed and agreement with KeyBERT; or why not."""
    rows: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        peers = []
        for option in sorted(path.stem for path in (CONF / "backend").glob("*.yaml")):
            wanted = params.from_data(compose(overrides=[f"backend={option}"]), str(CONF)).compile
            folder = Path(scratch) / option
            started = time.perf_counter()
            try:
                versions = toolchain.read([wanted.backend, wanted.task])
                manifest = compile_artifact(source, folder, replace(wanted, vocabulary=None), versions)
            except ModelkilnError as error:
                say(f"benchmark: {option}: {error}; going on without it")
                failed[option] = str(error)
                continue
            rows[option] = {"compile_s": time.perf_counter() - started}
            length = manifest.encoders["document"].max_length
            config = {"threads": 1, "max_length": length, "kind": "modelkiln", "artifact": str(folder), "table": False}
            peers.append(Peer(option, {**config, "cache_mb": 0}, (folder,)))
        if not peers:
            raise ModelkilnError(f"benchmark: no backend could be compiled: {'; '.join(failed.values())}")
        (base,) = choose([(BASE, 1)], Places(Path(peers[0].config["artifact"]), source), Limits())
        results = measure(Plan((base, *peers), (SCENARIO,), tuple(texts), documents, rounds, starts))
    for figure in figures(results, NAMES[BASE]):
        start = results.starts[figure.peer, 1]
        rows.setdefault(figure.peer, {}).update(
            first_s=sorted(start["first_s"])[len(start["first_s"]) // 2],
            files_mb=start["files_mb"],
            peak_mb=figure.peak_mb,
            ratio=figure.ratio,
            agreement=figure.agreement,
        )
    return {"backends": rows, "failed": {**failed, **results.failed}, "documents": documents, "rounds": rounds}
