"""The picture of speed against quality: places in percent of its area, which page.html draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelkiln.report import words
from modelkiln.report.axes import Axis, Tick, linear, logarithmic
from modelkiln.report.plots import Line
from modelkiln.sweep.leaderboard import Leaderboard, Row, place

NEAR = (2.5, 6.0)  # percent of the width and the height within which cells share a label
LABELLED = 4  # cells that a label names, at the most
SMALLEST = {"f1_loss": 0.002, "agreement": 0.02}  # so far the axis of the quality reaches beyond the cells
UPWARDS = {
    "f1_loss": "F1 at 10 that is lost, at the upper end of its 95% interval; further up is less",
    "agreement": "share of documents with the same keywords in the same order; further up is more",
}


@dataclass(frozen=True)
class Dot:
    """A cell."""

    x: float
    y: float  # from the top
    kind: str  # best, front, passed or refused
    title: str


@dataclass(frozen=True)
class Label:
    """The numbers of the cells that lie at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Speed to the right, quality upwards."""

    dots: list[Dot]
    labels: list[Label]
    front: list[tuple[float, float, float, float]]  # the pieces of the line that joins the front
    x: Axis
    y: Axis
    upright: list[Line]  # the rule's limits
    level: list[Line]
    upwards: str  # what the quality is
    caption: str


def plot(board: Leaderboard) -> Plot | None:
    """The picture; None where no cell has both figures."""
    placed = [(number, row) for number, row in enumerate(board.rows, 1) if place(row.result, board.quality)]
    if not placed:
        return None
    speeds = [row.result.figures["speedup"] for _, row in placed]
    qualities = [row.result.figures[board.quality] for _, row in placed]
    x = logarithmic(min(speeds) / 1.15, max(speeds) * 1.15)
    reach = max(SMALLEST[board.quality], 0.12 * (max(qualities) - min(qualities)))
    low, high = min(qualities) - reach, max(qualities) + reach
    y = _axis(low, min(high, 1.0) if board.quality == "agreement" else high, board)
    dots = [
        Dot(x.at(speed), _height(y, quality, board), _kind(row, board), f"{number}: {row.result.name}")
        for (number, row), speed, quality in zip(placed, speeds, qualities, strict=True)
    ]
    in_front = sorted((dot.x, dot.y) for dot, (_, row) in zip(dots, placed, strict=True) if row.in_front)
    limits = {name: bound for name, _, bound in board.rule.limits()}
    fast, good = limits.get("speedup"), limits.get(board.quality)
    return Plot(
        dots[::-1],  # the best is drawn last
        _labels([(dot, number) for dot, (number, _) in zip(dots, placed, strict=True)]),
        [(*one, *other) for one, other in pairwise(in_front)],
        x,
        y,
        [Line(x.at(fast), f"at least {words.exact(fast)}")] if fast and x.low < fast < x.high else [],
        [Line(_height(y, good, board), f"at {'most' if board.quality == 'f1_loss' else 'least'} {words.exact(good)}")]
        if good is not None and y.low < good < y.high
        else [],
        UPWARDS[board.quality],
        _caption(board, len(placed)),
    )


def _axis(low: float, high: float, board: Leaderboard) -> Axis:
    """Of what is better upwards; the ticks of a loss run down."""
    axis = linear(low, high)
    ticks = [Tick(axis.at(0.0), "0") if tick.label in ("0", "-0") else tick for tick in axis.ticks]
    if board.quality == "f1_loss":
        ticks = [Tick(100 - tick.at, tick.label) for tick in ticks]
    return Axis(axis.low, axis.high, False, ticks)


def _height(axis: Axis, value: float, board: Leaderboard) -> float:
    """Where a quality stands, from the top."""
    return axis.at(value) if board.quality == "f1_loss" else 100 - axis.at(value)


def _kind(row: Row, board: Leaderboard) -> str:
    if row.result is board.best:
        return "best"
    return "front" if row.in_front else row.result.state


def _labels(dots: Sequence[tuple[Dot, int]]) -> list[Label]:
    """A label for each place: cells that lie nearly on one another share it."""
    groups: list[list[tuple[Dot, int]]] = []
    for dot, number in dots:
        for group in groups:
            first = group[0][0]
            if abs(first.x - dot.x) < NEAR[0] and abs(first.y - dot.y) < NEAR[1]:
                group.append((dot, number))
                break
        else:
            groups.append([(dot, number)])
    return [Label(group[0][0].x, group[0][0].y, _numbers([number for _, number in group])) for group in groups]


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:LABELLED]))
    return f"{shown} …" if len(numbers) > LABELLED else shown


def _caption(board: Leaderboard, placed: int) -> str:
    front = [f"{number} {row.result.name}" for number, row in enumerate(board.rows, 1) if row.in_front]
    said = [f"{words.plural(placed, 'cell')}; the numbers are those of the table, and the speed's axis is logarithmic."]
    if front:
        said.append(f"The line joins the Pareto front, of which none is beaten in both: {'; '.join(front)}.")
    measured = sum(bool(row.result.figures) for row in board.rows)
    if measured > placed:
        left_out = words.plural(measured - placed, "cell")
        said.append(f"Not in the picture: {left_out} whose speed was not measured, or was too unsteady to tell.")
    return " ".join(said)
