"""The golden samples that ship with modelkiln are what the issue of a gate needs: many, varied, in three languages."""

from __future__ import annotations

import json
from collections import Counter

from modelkiln.golden import SHIPPED, read_samples


def test_samples_are_in_three_languages_and_of_many_lengths() -> None:
    lines = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) >= 24
    assert min(Counter(line["lang"] for line in lines).values()) >= 8
    words = [len(line["text"].split()) for line in lines]
    assert (min(words) >= 50, max(words) <= 400) == (True, True)
    assert sum(count < 80 for count in words) >= 5
    assert sum(count > 250 for count in words) >= 8


def test_samples_are_read_as_they_stand() -> None:
    assert read_samples()[0].id == "en-01"
