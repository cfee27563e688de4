"""docs/architecture.svg is what the code's imports are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from imports import ROOT_MODULE, imported
from layers_picture import PICTURE, draw, edges, label, part, parts, reached
from test_architecture import LAYERS


def test_picture_is_of_this_code() -> None:
    """If not: python tests/layers_picture.py"""
    assert PICTURE.read_text("utf-8") == draw()


def test_every_part_of_the_library_is_in_it() -> None:
    texts = [element.text or "" for element in ElementTree.parse(PICTURE).iter() if element.tag.endswith("text")]
    for name in set().union(*LAYERS):
        assert label(name) in texts
    assert "backends: aotinductor" in " ".join(texts)


def test_lines_leave_out_nothing_that_does_not_follow() -> None:
    """Whatever a file imports can be reached along the lines."""
    below: dict[str, set[str]] = {}
    for upper, lower in edges():
        below.setdefault(upper, set()).add(lower)
    for name, files in parts().items():
        for other in {part(path) for file in files for path in imported(file) if path != ROOT_MODULE} - {name}:
            assert other in reached(below, name), (name, other)
