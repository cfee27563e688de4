"""Axes and the words on them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from modelkiln.report import words
from modelkiln.report.axes import linear, logarithmic

POSITIVE = st.floats(1e-12, 1e12)


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_linear_axis_has_a_few_rising_ticks(low: float, span: float) -> None:
    axis = linear(low, low + span)
    places = [tick.at for tick in axis.ticks]
    assert 2 <= len(places) <= 12
    assert places == sorted(places)
    assert axis.at(low) == 0
    assert axis.at(axis.high) == 100


@given(low=POSITIVE, factor=st.floats(1.2, 1e12))
def test_logarithmic_axis_has_a_few_rising_ticks(low: float, factor: float) -> None:
    axis = logarithmic(low, low * factor)
    places = [tick.at for tick in axis.ticks]
    assert 1 <= len(places) <= 12
    assert places == sorted(places)
    assert axis.at(low / 10) == 0
    assert axis.at(axis.high * 10) == 100


@given(value=st.floats(-1e300, 1e300))
def test_number_keeps_three_digits(value: float) -> None:
    shown = float(words.number(value).replace(words.THIN, ""))
    assert abs(shown - value) <= 0.00501 * abs(value) + 1e-320


def test_share_of_nearly_all_is_not_all() -> None:
    assert [words.percent(share) for share in (0, 1e-9, 0.5, 1 - 1e-9, 1)] == [
        "0 %",
        "0.1 %",
        "50.0 %",
        "99.9 %",
        "100 %",
    ]


@given(text=st.text(st.characters(exclude_categories=[])))
def test_legible_text_can_be_written_and_hides_nothing(text: str) -> None:
    shown = words.legible(text)
    shown.encode("utf-8")
    assert not re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)
    assert re.sub(r"⟨U\+([0-9A-F]{4})⟩", lambda found: chr(int(found[1], 16)), shown) == text or "⟨U+" in text


def test_modes_are_named_by_their_options() -> None:
    mode = {"keyphrase_ngram_range": [1, 2], "use_mmr": True, "diversity": 0.7}
    assert words.mode(mode, 2).replace("\u2013", "-") == "phrases of 1-2, mmr, diversity 0.7"
    assert words.mode({"top_n": 5, "stop_words": None}, 0) == "phrases of 1, top n 5, stop words none"
    assert words.mode(None, 3) == "mode 3"
