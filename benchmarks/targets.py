"""The numbers that were to be reached, each beside what was."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from modelkiln.bench.figures import ratio, select
from modelkiln.bench.measure import Record, Scenario
from modelkiln.bench.peers import BASE, NAMES

Data = dict[str, Any]  # docs/benchmarks.json


def targets(data: Data) -> list[tuple[str, str, str, bool | None]]:
    """(what, target, reached, whether it was) of each; reached is empty where it was not measured."""
    records = [Record(**{**each, "ngrams": tuple(each["ngrams"])}) for each in data.get("peers", {}).get("records", [])]
    rows = []
    for what, bound, value in _measured(data, records):
        least = bound > 0
        reached = None if value is None else value >= bound if least else value <= -bound
        shown = "" if value is None else f"{value:.3g}"
        rows.append((what, f"{'at least' if least else 'at most'} {abs(bound):g}", shown, reached))
    return rows


def _measured(data: Data, records: list[Record]) -> list[tuple[str, float, float | None]]:
    """What, its bound (negative: at the most), and what was reached."""
    fastest = [NAMES["onnx"], NAMES["openvino"]]

    def times(other: str, ngrams: tuple[int, int], in_a_call: int, own: str = "modelkiln") -> float | None:
        scenario = Scenario(ngrams, in_a_call)
        return ratio(select(records, NAMES[own], 1, scenario), select(records, other, 1, scenario))

    def times_best() -> float | None:
        return _of(min, [times(other, (1, 1), 1) for other in fastest])

    largest = max((r.in_a_call for r in records), default=200)
    base, replaced = NAMES[BASE], NAMES["replaced"]
    return [
        (f"(1,1), 1 in a call: times {base}", 3.2, times(base, (1, 1), 1)),
        ("(1,1), 1 in a call: times its best fp32 backend", 2.5, times_best()),
        ("(1,1), 1 in a call: times the replaced system", 20, times(replaced, (1, 1), 1)),
        (f"(1,1), 12 in a call: times {base}", 3.5, times(base, (1, 1), 12)),
        ("(1,1), 12 in a call: times the replaced system", 22, times(replaced, (1, 1), 12)),
        (f"(1,1), {largest} in a call (wanted: 200): times {base}", 1.8, times(base, (1, 1), largest)),
        (f"(1,2), 1 in a call, nothing cached: times {base}", 2, times(base, (1, 2), 1)),
        (f"(1,2), 1 in a call, second half of a stream: times {base}", 2.6, times(base, (1, 2), 1, "warm")),
        (f"start to first keyword: share of {base}'s", -0.15, _start(data, "first_s")),
        (f"peak memory, (1,1), 1 in a call: share of {base}'s", -0.5, _memory(data, records)),
        (
            "encoder on full documents: share of the fp32 product peak, attention's products counted",
            0.85,
            data.get("peak", {}).get("share_with_attention"),
        ),
        ("the table's cost in `make repro`: seconds", -60, _difference(data.get("table", {}))),
        ("(1,1), 1 in a call: two threads, times one", 1.85, _scaling(records, 1)),
        ("(1,1), 12 in a call: two threads, times one", 1.85, _scaling(records, 12)),
        (
            f"{data.get('stream', {}).get('documents', 100_000):,} documents from a file: growth of memory, "
            "MB, last fifth over second fifth",
            -10,
            data.get("stream", {}).get("memory_growth_mb"),
        ),
        ("the same: cost of a document, times the second fifth's", -1.1, data.get("stream", {}).get("cost_ratio")),
        (
            "`dvc repro` with nothing to do: times an empty pipeline's",
            -1.5,
            data.get("sweeps", {}).get("noop", {}).get("ratio"),
        ),
    ]


def _start(data: Data, name: str) -> float | None:
    starts = {each["peer"]: each[name] for each in data.get("peers", {}).get("starts", []) if each["threads"] == 1}
    own, base = starts.get(NAMES["modelkiln"]), starts.get(NAMES[BASE])
    return median(a / b for a, b in zip(own, base, strict=False)) if own and base else None


def _memory(data: Data, records: list[Record]) -> float | None:
    """Of the whole life up to the end of that scenario: loading counts."""
    found = {}
    for name in (BASE, "modelkiln"):
        own = [r.peak_mb for r in select(records, NAMES[name], 1, Scenario((1, 1), 1))]
        starts = data.get("peers", {}).get("starts", [])
        own += [each["first_peak_mb"] for each in starts if (each["peer"], each["threads"]) == (NAMES[name], 1)]
        found[name] = max(own, default=0.0)
    return found["modelkiln"] / found[BASE] if all(found.values()) else None


def _scaling(records: list[Record], in_a_call: int) -> float | None:
    scenario = Scenario((1, 1), in_a_call)
    own = NAMES["modelkiln"]
    return ratio(select(records, own, 2, scenario), select(records, own, 1, scenario))


def _difference(table: Data) -> float | None:
    return table["with_s"] - table["without_s"] if table else None


def _of(choose: Callable[[list[float]], float], values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None
