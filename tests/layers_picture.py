"""Draws docs/architecture.svg: the layers that test_architecture.py holds, and the imports that cross them.

    python tests/layers_picture.py

Of the imports those are drawn that say something new: where A imports B and C, and B imports C, A to C is left out. So
is what leads to the two lowest layers, which everything may use.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from html import escape
from pathlib import Path

from imports import ROOT, ROOT_MODULE, imported
from test_architecture import LAYERS, PLUGINS

PICTURE = ROOT / "docs" / "architecture.svg"
# What the parts of a layer have in common, by one of them.
TITLES = {
    "stages": "the pipeline's stages",
    "cli": "what people call",
    "migration": "whole jobs over the rest",
    "adapters": "what the stages and commands do",
    "difference": "over registered versions",
    "sources": "plug-ins that use encoders",
    "keywords": "the task's own work",
    "encoder": "texts to vectors",
    "backends": "compiling and running graphs",
    "inferentia": "what two backends share",
    "buckets": "shapes, formats, a simulator",
    "cache": "parts of compiling and serving",
    "contents": "what is read and checked",
    "artifact": "contracts and figures",
    "env": "the machine, files, processes",
    "errors": "what a user can put right",
}
MARGIN, TITLE, HEIGHT, GAP, LETTER, BETWEEN = 16, 236, 22, 8, 7.3, 34  # pixels
WIDTH = 1180
SWEEPS = 8  # over the layers, to bring what is connected close together
STYLE = """
  text { font: 12px ui-monospace, monospace; fill: #24292f; }
  .title { font: 12px system-ui, sans-serif; fill: #57606a; }
  .band { fill: #f6f8fa; }
  .file { fill: #ffffff; stroke: #8c959f; }
  .folder { fill: #ddf4ff; stroke: #54aeff; }
  .plugin { fill: #fff8c5; stroke: #d4a72c; }
  path { fill: none; stroke: #57606a; stroke-opacity: 0.4; }
"""


@dataclass(frozen=True)
class Box:
    """A file or folder of the library, where it is drawn."""

    name: str
    kind: str
    x: float
    y: float
    width: float


@functools.cache
def parts() -> dict[str, list[Path]]:
    """Each part that LAYERS names, with its files."""
    found: dict[str, list[Path]] = {}
    for file in sorted([*(ROOT / "modelkiln").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]):
        path = file.relative_to(ROOT)
        if path != ROOT_MODULE:
            found.setdefault("stages" if path.parts[0] == "stages" else part(path), []).append(path)
    return found


def part(path: Path) -> str:
    """The part that a file belongs to."""
    return "stages" if path.parts[0] == "stages" else path.parts[1].removesuffix(".py")


def edges() -> set[tuple[str, str]]:
    """What imports what, part by part, without what follows from the others."""
    below = {
        name: {part(other) for file in files for other in imported(file) if other != ROOT_MODULE} - {name}
        for name, files in parts().items()
    }
    pairs = {(name, other) for name, others in below.items() for other in others}
    return {
        (name, other)
        for name, other in pairs
        if not any(other in reached(below, between) for between in below[name] - {other})
    }


def reached(below: dict[str, set[str]], name: str) -> set[str]:
    """All that a part leads to, directly or not."""
    found: set[str] = set()
    waiting = list(below.get(name, ()))
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += below.get(other, ())
    return found


def label(name: str) -> str:
    """What stands in a part's box; of a kind of plug-ins, which there are."""
    if name in PLUGINS:
        there = sorted({path.parts[2].removesuffix(".py") for path in parts()[name]} - {"__init__"})
        return f"{name}: {' '.join(there)}"
    return name


def ordered(lines: set[tuple[str, str]]) -> list[list[str]]:
    """The layers from the top one down, each in an order in which few lines cross."""
    layers = [sorted(layer) for layer in reversed(LAYERS)]
    near: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for upper, lower in sorted(lines):
        near[upper].append(lower)
        near[lower].append(upper)
    for _ in range(SWEEPS):
        place = {name: (i + 1) / (len(layer) + 1) for layer in layers for i, name in enumerate(layer)}
        for layer in layers:
            # fmean would differ in the last digit from one Python to another.
            weight = {
                name: round(sum(place[other] for other in near[name] or [name]) / len(near[name] or [name]), 6)
                for name in layer
            }
            layer.sort(key=lambda name: (weight[name], name))
    return layers


def row_of(names: list[str], y: float) -> list[Box]:
    """A layer's boxes, spread over the width."""
    widths = [len(label(name)) * LETTER + 2 * GAP for name in names]
    space = (WIDTH - MARGIN - TITLE - sum(widths)) / (len(names) + 1)
    row, x = [], TITLE + space
    for name, width in zip(names, widths, strict=True):
        file = parts()[name][0]
        kind = "plugin" if name in PLUGINS else "folder" if name == "stages" or len(file.parts) > 2 else "file"
        row.append(Box(name, kind, x, y, width))
        x += width + space
    return row


def draw() -> str:
    """The picture, as SVG."""
    used_everywhere = LAYERS[0] | LAYERS[1]
    lines = {(upper, lower) for upper, lower in edges() if lower not in used_everywhere}
    step = HEIGHT + BETWEEN
    rows = [row_of(names, MARGIN + number * step) for number, names in enumerate(ordered(lines))]
    places = {box.name: box for row in rows for box in row}
    height = len(rows) * step - BETWEEN + 2 * MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-label="The layers of modelkiln, from the stages down to the errors">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for row in rows:
        title = next((title for member, title in TITLES.items() if member in {box.name for box in row}), "")
        drawn.append(rectangle("band", MARGIN / 2, row[0].y - GAP, WIDTH - MARGIN, HEIGHT + 2 * GAP))
        drawn.append(f'<text class="title" x="{MARGIN + 4}" y="{row[0].y + 15:.0f}">{escape(title)}</text>')
    drawn += [line(places[upper], places[lower]) for upper, lower in sorted(lines)]
    for box in places.values():
        drawn.append(rectangle(box.kind, box.x, box.y, box.width, HEIGHT))
        drawn.append(f'<text x="{box.x + GAP:.0f}" y="{box.y + 15:.0f}">{escape(label(box.name))}</text>')
    return "\n".join([*drawn, "</svg>", ""])


def rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    """A box, or the band behind a layer."""
    return f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="4"/>'


def line(start: Box, end: Box) -> str:
    """From what imports to what is imported; below the two where they stand side by side."""
    x1, y1, x2, y2 = start.x + start.width / 2, start.y + HEIGHT, end.x + end.width / 2, end.y
    if start.y == end.y:
        y2, first, second = y1, y1 + 16, y1 + 16
    else:
        bend = min(60, (y2 - y1) / 2)
        first, second = y1 + bend, y2 - bend
    return f'<path d="M{x1:.0f} {y1:.0f} C{x1:.0f} {first:.0f} {x2:.0f} {second:.0f} {x2:.0f} {y2:.0f}"/>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
