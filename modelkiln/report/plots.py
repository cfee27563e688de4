"""The plots: what each one draws and says, in percent of its area; plots.html draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelkiln.report import words
from modelkiln.report.axes import Axis, linear, logarithmic
from modelkiln.report.evidence import Evidence, Row, finite

NO_BOUND = float("inf")
SAME = 1e-9  # scores are rounded to 4 digits; floats of them differ by this at most where the scores do not


@dataclass(frozen=True)
class Bar:
    """A column of a histogram."""

    x: float
    width: float
    height: float
    count: int
    range: str
    beyond: bool = False  # the bound


@dataclass(frozen=True)
class Line:
    """A line across the plot."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point."""

    x: float
    y: float
    beyond: bool


@dataclass(frozen=True)
class Histogram:
    """Counts over values."""

    bars: list[Bar]
    x: Axis
    y: Axis
    lines: list[Line]
    caption: str


@dataclass(frozen=True)
class Scatter:
    """Points over lengths, by series."""

    series: dict[str, list[Dot]]
    x: Axis
    y: Axis
    lines: list[Line]
    caption: str


@dataclass(frozen=True)
class Square:
    """A document in one mode."""

    grade: int  # 0: the same answer; 1 to 3: the less in common, the more
    title: str


@dataclass(frozen=True)
class Squares:
    """The documents of a set in one mode."""

    label: str
    same: int
    squares: list[Square] = field(default_factory=list)


def score_deviation(evidence: Evidence) -> Histogram | None:
    """How often the compiled model's score of a keyword is off by how much; None where there are no scores."""
    found = [finite(row["difference"]) for row in evidence.scores]
    values = [value for value in found if value is not None]
    if not values:
        return None
    bound = bound_of(evidence, "score_atol")
    largest = max(map(abs, values))
    is_near = bound <= 4 * largest or largest < SAME  # else the picture would be mostly empty
    reach = 1.15 * max(largest, bound if bound != NO_BOUND and is_near else 0.0)
    reach = reach if reach > 1e-12 else 1e-4
    x = linear(-reach, reach, 4)
    bars, y = _bars(values, x, 41, lambda value: abs(value) > bound + SAME)
    same = sum(abs(value) < SAME for value in values)
    caption = (
        f"{words.plural(len(values), 'score')} of keywords that both models name: {words.percent(same / len(values))} "
        f"the same in every digit, the largest difference is {words.number(largest)}."
    )
    if bound != NO_BOUND and bound > reach:
        caption += f" The bound, ±{words.number(bound)}, lies outside the picture."
    lines = [Line(x.at(-bound), ""), Line(x.at(bound), f"bound ±{words.number(bound)}")] if bound <= reach else []
    not_finite = len(found) - len(values)
    return Histogram(bars, x, y, lines, caption + _lost(not_finite, "score"))


def cosine_per_length(evidence: Evidence) -> Scatter | None:
    """How far the direction of a text's vector is off, by the text's length; None where nothing was compared."""
    rows = [row for row in evidence.lengths if row["tokens"] > 0]
    if not rows:
        return None
    smallest = bound_of(evidence, "min_cosine")
    allowed = NO_BOUND if smallest == NO_BOUND else 1 - smallest
    losses = [(row, finite(row["cosine"])) for row in rows]
    known = [(row, max(0.0, 1 - cosine)) for row, cosine in losses if cosine is not None]
    positive = [loss for _, loss in known if loss >= 1e-12]
    worst = max((loss for _, loss in known), default=0.0)
    top = max([worst, *([allowed] if 0 < allowed < NO_BOUND else [])]) or 1e-6
    y = logarithmic(max(1e-12, min([*positive, top / 1e3]) / 2), top * 3)
    lengths = [row["tokens"] for row in rows]
    x = logarithmic(min(lengths) / 1.15, max(lengths) * 1.15)
    series: dict[str, dict[tuple[float, float], Dot]] = {row["encoder"]: {} for row in rows}
    for row, cosine in losses:
        loss = NO_BOUND if cosine is None else max(0.0, 1 - cosine)
        place = _grid(x.at(row["tokens"])), _grid(100 - y.at(min(loss, y.high)))
        beyond = cosine is None or loss > allowed * (1 + 1e-6) + 1e-15
        if beyond or place not in series[row["encoder"]]:
            series[row["encoder"]][place] = Dot(*place, beyond)
    lines = [Line(100 - y.at(allowed), f"bound: cosine {words.exact(smallest)}")] if 0 < allowed < NO_BOUND else []
    exact = sum(loss < y.low for _, loss in known)
    caption = f"{words.plural(len(rows), 'text')} of {min(lengths)} to {words.plural(max(lengths), 'token')}; "
    caption += f"the smallest cosine is 1 − {words.number(worst)}." if worst else "every cosine is 1."  # noqa: RUF001
    caption += f" {words.plural(exact, 'of them is', 'of them are')} too close to 1 to tell: on the lower edge." * bool(
        exact and worst
    )
    dots = {name: list(found.values()) for name, found in sorted(series.items())}
    return Scatter(dots, x, y, lines, caption + _lost(len(losses) - len(known), "cosine"))


def agreement_per_document(evidence: Evidence) -> list[Squares]:
    """For each set and mode, a square for each document."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in evidence.documents:
        groups.setdefault((row["set"], row["mode"]), []).append(row)
    return [
        Squares(
            f"{name}: {mode_of(evidence, index)}",
            sum(_grade(row) == 0 for row in rows),
            [Square(_grade(row), _square_title(row)) for row in rows],
        )
        for (name, index), rows in sorted(groups.items())
    ]


def latency_distribution(samples: Mapping[str, Sequence[float]]) -> dict[str, Histogram]:
    """A histogram for each model that has samples, over one axis."""
    every = sorted(value for values in samples.values() for value in values if value > 0)
    if not every:
        return {}
    x = logarithmic(every[0] / 1.1, every[-1] * 1.1)
    found = {}
    for model, values in samples.items():
        bars, y = _bars(values, x, 48, lambda _: False)
        median = sorted(values)[len(values) // 2] if values else 0.0
        lines = [Line(x.at(median), f"median {words.number(median)} ms")]
        found[model] = Histogram(bars, x, y, lines, words.plural(len(values), "sample"))
    return {model: found[model] for model in found if samples[model]}


def bound_of(evidence: Evidence, name: str) -> float:
    """A bound of the verdict, or infinity where it has none of this name, or one that is none (see Bounds)."""
    found = finite(evidence.verdict.bounds.get(name))
    return NO_BOUND if found is None or not 0 <= found <= 1 else found


def mode_of(evidence: Evidence, index: int) -> str:
    """How an extraction mode is named; see words.mode."""
    modes = evidence.predictions.get("inference_params")
    return words.mode(modes[index] if isinstance(modes, list) and index < len(modes) else None, index)


def _bars(values: Sequence[float], x: Axis, number: int, is_beyond: Callable[[float], bool]) -> tuple[list[Bar], Axis]:
    """Columns of equal width on the axis; each that has anything in it can be seen."""
    counts: dict[int, int] = {}
    beyond: dict[int, bool] = {}
    for value in values:
        place = min(number - 1, int(x.at(value) / 100 * number))
        counts[place] = counts.get(place, 0) + 1
        beyond[place] = beyond.get(place, False) or is_beyond(value)
    y = linear(0, max(counts.values(), default=1) * 1.08, 4)
    width = 100 / number
    return [
        Bar(
            round(place * width + 0.1 * width, 2),
            round(0.8 * width, 2),
            max(1.2, y.at(many)),
            many,
            f"{_edge(x, place, number)} to {_edge(x, place + 1, number)}",
            beyond[place],
        )
        for place, many in sorted(counts.items())
    ], y


def _edge(x: Axis, place: int, number: int) -> str:
    share = place / number
    value = x.low * (x.high / x.low) ** share if x.log else x.low + share * (x.high - x.low)
    return words.number(0.0 if abs(value) < 1e-9 * x.high else value, 2)


def _grade(row: Row) -> int:
    if row["agreement"] == 1:
        return 0
    overlap = finite(row["overlap"])
    return 3 if overlap is None or overlap < 0.6 else 2 if overlap < 1 else 1


def _square_title(row: Row) -> str:
    """Only for documents that differ: of 500 that do not, the page would be long."""
    if _grade(row) == 0:
        return ""
    overlap, rbo = finite(row["overlap"]), finite(row["rbo"])
    return f"{words.shorten(row['id'], 60)}: overlap {words.number(overlap)}, rank-biased {words.number(rbo)}"


def _grid(percent: float) -> float:
    """Points nearer than the eye can tell are one."""
    return round(round(percent / 0.4) * 0.4, 1)


def _lost(number: int, what: str) -> str:
    return f" {words.plural(number, what)} not finite." if number else ""
