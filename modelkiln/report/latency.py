"""latency.json -> the table of the profile, and the samples as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelkiln.report import words
from modelkiln.report.evidence import finite, mapping

MODELS = ("uncompiled", "compiled")
FIGURES = {
    "load_s": ("loading", "s"),
    "first_answer_s": ("start to first answer", "s"),
    "p50_ms": ("one document, median", "ms"),
    "p95_ms": ("one document, 95th percentile", "ms"),
    "p99_ms": ("one document, 99th percentile", "ms"),
    "peak_mb": ("peak memory", "MB"),
    "size_mb": ("size on disk", "MB"),
}


@dataclass(frozen=True)
class Ratio:
    """How many times better the compiled model is; places in percent of an axis from a tenth to ten times."""

    words: str
    interval: str
    kind: str  # better, worse, even
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One figure of both models."""

    name: str
    values: list[str]  # uncompiled, compiled
    ratio: Ratio | None


def samples(latency: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row {"model", "ms"} for each sample."""
    return [{"model": model, "ms": value} for model, values in samples_of(latency).items() for value in values]


def samples_of(latency: Mapping[str, Any]) -> dict[str, list[float]]:
    """The milliseconds of each model's samples; none of what is no time."""
    found = mapping(latency.get("samples_ms"))
    return {model: _times(found.get(model)) for model in MODELS}


def lines(latency: Mapping[str, Any]) -> list[Line]:
    """The figures that were measured, the throughput of each batch size among them."""
    models = [mapping(latency.get(model)) for model in MODELS]
    ratios = mapping(latency.get("ratios"))
    rows = {name: (title, unit, [model.get(name) for model in models]) for name, (title, unit) in FIGURES.items()}
    rates = [mapping(model.get("docs_per_s")) for model in models]
    for size in sorted({str(size) for rate in rates for size in rate}, key=_batch_order):
        title = f"documents per second, {words.shorten(size, 12)} in a call"
        rows[f"docs_per_s_{size}"] = (title, "/s", [rate.get(size) for rate in rates])
    return [
        Line(title, [_value(value, unit) for value in values], _ratio(mapping(ratios.get(name))))
        for name, (title, unit, values) in rows.items()
        if any(finite(value) is not None for value in values)
    ]


def _ratio(given: Mapping[str, Any]) -> Ratio | None:
    ratio, low, high = (finite(given.get(name)) for name in ("ratio", "low", "high"))
    if ratio is None or low is None or high is None or min(ratio, low, high) <= 0:
        return None
    places = [round(50 + 50 * max(-1.0, min(1.0, math.log10(value))), 2) for value in (ratio, low, high)]
    interval = f"{words.number(low)} to {words.number(high)}"
    if not given.get("distinguishable"):
        return Ratio("not distinguishable", interval, "even", *places)
    return Ratio(f"{words.number(ratio)} {words.TIMES}", interval, "better" if ratio > 1 else "worse", *places)


def _value(value: object, unit: str) -> str:
    known = finite(value)
    return words.NOTHING if known is None else f"{words.number(known)} {unit}".replace(" /s", "/s")


def _batch_order(size: str) -> tuple[int, str]:
    return (int(size), size) if size.isascii() and size.isdigit() and len(size) < 9 else (10**9, size)


def _times(values: object) -> list[float]:
    known = [finite(value) for value in values] if isinstance(values, list) else []
    return [value for value in known if value is not None and 1e-6 < value < 1e9]
