"""Axes of the plots: values -> places in percent of the plot, and where the ticks stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelkiln.report import words


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float  # percent of the axis
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of values along one side of a plot."""

    low: float
    high: float
    log: bool
    ticks: list[Tick]

    def at(self, value: float) -> float:
        """Where a value stands, in percent; at an end where it lies beyond it."""
        return _place(value, self.low, self.high, self.log)


def linear(low: float, high: float, steps: int = 5) -> Axis:
    """An axis that has about so many round ticks between two values."""
    if not low < high:
        low, high = low - 1, high + 1
    step = _round_step((high - low) / steps)
    first = math.ceil(low / step - 1e-9)
    values = [index * step for index in range(first, first + 4 * steps) if index * step <= high + 1e-9 * step]
    return Axis(low, high, False, [Tick(_place(value, low, high, False), words.number(value)) for value in values])


def logarithmic(low: float, high: float) -> Axis:
    """An axis of powers: round ticks where it spans few, 1, 2 and 5 of each, or powers of ten alone where many."""
    if not low < high:
        low, high = low / 2, high * 2
    if high / low < 8:
        ticks = [(low + tick.at / 100 * (high - low), tick.label) for tick in linear(low, high, 6).ticks]
        return Axis(low, high, True, [Tick(_place(value, low, high, True), label) for value, label in ticks])
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    every = math.ceil(span / 6)
    factors = (1, 2, 5) if span < 2.6 else (1,)
    values = [factor * 10.0**power for power in powers if power % every == 0 for factor in factors]
    inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return Axis(low, high, True, [Tick(_place(value, low, high, True), words.number(value)) for value in inside])


def _place(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if step <= factor * power * (1 + 1e-9))
