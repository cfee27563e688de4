"""Numbers and texts as the page says them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# Overrides and isolates of direction: they can show a text in another order than it has.
DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# What HTML forbids or nobody sees: C0 but tab and line ends, DEL, C1, surrogates that are no pair, non-characters.
UNSEEN = re.compile(f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff{DIRECTION}]")
THIN = "\u202f"  # groups digits
NOTHING = "–"  # noqa: RUF001 (a dash)
TIMES = "×"  # noqa: RUF001


def legible(text: str) -> str:
    """The text with every character that can't be seen, or that HTML does not allow, spelled out: ⟨U+0000⟩."""
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def shorten(text: str, most: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else f"{text[:most]}…"


def number(value: float | None, digits: int = 3) -> str:
    """A number with three digits, and no more zeros than a reader can count."""
    if value is None:
        return "not finite"
    if value in (0, math.inf):
        return "∞" if value else "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - _magnitude(value))
        shown = f"{value:,.{decimals}f}".replace(",", THIN)
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(power)}"


def exact(value: float | None) -> str:
    """A figure or a bound, all of its digits."""
    return "not finite" if value is None else f"{value:.15g}"


def fixed(value: float | None, decimals: int) -> str:
    """A number with so many decimals, for columns."""
    return NOTHING if value is None else f"{value:,.{decimals}f}".replace(",", THIN)


def count(value: int) -> str:
    """An integer with its thousands apart."""
    return f"{value:,}".replace(",", THIN)


def plural(value: int, one: str, many: str = "") -> str:
    """`3 documents`, `1 document`."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A share in percent; never 100 % for less than all, nor 0 % for more than nothing."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(99.9, max(0.1, 100 * share)):.1f} %"


def megabytes(size: float) -> str:
    """Bytes, as MB or kB."""
    return f"{size / 1e6:,.1f} MB".replace(",", THIN) if size >= 1e5 else f"{size / 1e3:.1f} kB"


def spaced(name: str) -> str:
    """A figure's name as words."""
    return name.replace("_", " ")


def mode(params: object, index: int) -> str:
    """How an extraction mode is named: its options, those of its n-grams first."""
    if not isinstance(params, Mapping):
        return f"mode {index}"
    if not params:
        return "default options"
    least_most = params.get("keyphrase_ngram_range", (1, 1))
    words = [f"phrases of {'–'.join(dict.fromkeys(map(str, _items(least_most))))}"]  # noqa: RUF001 (a range)
    rest = {name: value for name, value in params.items() if name != "keyphrase_ngram_range"}
    words += [_option(name, value) for name, value in rest.items()]
    return shorten(", ".join(words), 160)


def _option(name: str, value: object) -> str:
    shown = spaced(name).removeprefix("use ")
    return shown if value is True else f"{shown} {'none' if value is None else value}"


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
