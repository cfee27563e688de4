"""All of the benchmark: measures, and writes docs/benchmarks.json, docs/benchmarks.md and docs/benchmarks.svg.

    make bench                                   on the golden samples
    make bench DOCUMENTS=texts.jsonl             on your own texts, JSONL of `id` and `text`
    python -m benchmarks.report --only peak      one part anew; the others stay as they were measured
    python -m benchmarks.report --only page      the page and the picture anew, from docs/benchmarks.json

Absolute times are one machine's at one moment; the ratios are what lasts. Let nothing else run beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.backends import measure_backends
from benchmarks.ceiling import measure_ceiling
from benchmarks.environments import prepare
from benchmarks.page import write_page
from benchmarks.picture import write_picture
from benchmarks.registries import measure_registries
from benchmarks.stream import measure_stream
from benchmarks.sweeps import measure_sweeps
from benchmarks.table_cost import measure_table_cost
from benchmarks.transfers import measure_transfers
from modelkiln.bench import machine
from modelkiln.bench.engine import Request, run
from modelkiln.bench.measure import Scenario
from modelkiln.bench.peak import measure_peak
from modelkiln.bench.peers import ELSEWHERE, Limits, Places
from modelkiln.errors import ModelkilnError
from modelkiln.files import to_json, write_text
from modelkiln.golden import read_samples
from modelkiln.progress import say

DOCS = Path(__file__).parents[1] / "docs"
PARTS = ("peers", "ceiling", "peak", "backends", "table", "stream", "registries", "transfers", "sweeps")
ONE_THREAD = "keybert,modelkiln,no-table,warm,onnx,openvino,pipeline,replaced"
TWO_THREADS = "keybert,modelkiln,onnx,openvino"
SCENARIOS = (
    Scenario((1, 1), 1),
    Scenario((1, 1), 12),
    Scenario((1, 1), 200),
    Scenario((1, 2), 1),
    Scenario((1, 2), 12),
)


def main() -> int:
    """Measures the parts that are asked for, and writes the page; 1 where that can't be done."""
    options = _options()
    parts = PARTS if options.only is None else options.only.split(",")
    try:
        unknown = set(parts) - {*PARTS, "page"}
        if unknown:
            raise ModelkilnError(f"--only: no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}, page")
        path = options.to / "benchmarks.json"
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for part in parts:
            if part != "page":
                data[part] = {**_facts(options), **_measure(part, options)}
                write_text(path, to_json(data))  # after each part: the next one may be stopped
        write_page(options.to / "benchmarks.md", data)
        write_picture(options.to / "benchmarks.svg", data)
    except ModelkilnError as error:
        say(f"benchmark: {error}")
        return 1
    print(f"wrote {options.to / 'benchmarks.md'}, benchmarks.svg and benchmarks.json")
    return 0


def _measure(part: str, options: argparse.Namespace) -> Any:
    if part == "registries":
        return measure_registries(options.artifact, options.rounds)
    if part == "transfers":
        return measure_transfers(options.rounds)
    if part == "sweeps":
        return measure_sweeps(options.rounds, options.sweep_cells, options.experiments)
    texts = [sample.text for sample in read_samples(options.documents)]
    if part == "ceiling":
        return measure_ceiling(options.artifact, options.source, texts, options.limit, options.rounds)
    if part == "peak":
        return measure_peak(options.artifact, options.source, texts)
    if part == "backends":
        return measure_backends(options.source, texts, options.backend_documents, options.rounds, options.starts)
    if part == "table":
        return measure_table_cost(options.source)
    if part == "stream":
        return measure_stream(options.artifact, texts, options.stream_documents)
    peers = [(name, 1) for name in options.peers.split(",")] + [
        (name, 2) for name in options.peers_2.split(",") if name
    ]
    request = Request(
        peers=tuple(peers),
        scenarios=SCENARIOS,
        documents=options.documents,
        limit=options.limit,
        rounds=options.rounds,
        starts=options.starts,
        slow=Limits(options.slow_documents, options.slow_rounds),
    )
    exported = prepare(options.source) if any(name in ELSEWHERE for name, _ in peers) else None
    return run(request, Places(options.artifact, options.source, exported)).as_json()


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    """What to say with each part: when, where, and by which command. Of a path only the file's name, for the reader."""
    shown = ["python -m benchmarks.report"]
    for name, value in vars(options).items():
        if value != DEFAULTS[name] and name not in ("only", "to"):
            shown.append(f"--{name.replace('_', '-')} {value.name if isinstance(value, Path) else value}")
    return {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(shown),
        "documents_name": options.documents.name if options.documents else "the golden samples",
        "machine": machine.facts(),
    }


DEFAULTS: dict[str, Any] = {
    "artifact": Path("artifacts/compiled"),
    "source": Path("artifacts/source"),
    "documents": None,
    "limit": 48,
    "rounds": 3,
    "starts": 3,
    "slow_documents": 12,
    "slow_rounds": 2,
    "peers": ONE_THREAD,
    "peers_2": TWO_THREADS,
    "backend_documents": 12,
    "stream_documents": 100_000,
    "sweep_cells": 24,
    "experiments": 2_000,
    "only": None,
    "to": DOCS,
}
HELP = {
    "documents": "JSONL with id and text; by default the golden samples",
    "limit": "documents that are measured, the last ones; where there are more in a call, as many as that",
    "starts": "of each process, for the time to the first keyword",
    "slow_documents": "documents that the slow peers do, the first ones of those",
    "slow_rounds": "rounds that the slow peers take part in",
    "backend_documents": "documents that every backend does",
    "sweep_cells": "that each engine runs, two at a time",
    "experiments": "that a commit has, where it is measured what grows with their number",
    "peers": "with one thread each",
    "peers_2": "with two threads each; may be empty",
    "only": f"of {', '.join(PARTS)} and page, with commas",
    "to": "the folder to write into",
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in DEFAULTS.items():
        kind = (
            Path if name == "documents" or isinstance(default, Path) else type(default) if default is not None else str
        )
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=HELP.get(name))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
