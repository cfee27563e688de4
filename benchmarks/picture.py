"""docs/benchmarks.json -> docs/benchmarks.svg: how many times as fast as KeyBERT each peer is, one thread.

Ratios, since a slow peer does fewer documents than the others, and each is compared on those that it did. What is warm
is left out: it is measured on other documents again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkiln.bench.peers import BASE, NAMES

PAPER, INK, FAINT = "#ffffff", "#24292f", "#d0d7de"  # a background of its own, so that it can be read on a dark page
OURS, THEIRS = "#1a7f6b", "#8c959f"
WIDTH, ROW, MARGIN = 8.5, 0.27, 0.8  # inches


def write_picture(path: Path, data: dict[str, Any]) -> None:
    """Writes the picture, if the peers were measured. The same figures give the same bytes."""
    if "peers" not in data:
        return
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figures = [figure for figure in data["peers"]["figures"] if figure["threads"] == 1]
    panels = list(dict.fromkeys((tuple(f["ngrams"]), f["in_a_call"]) for f in figures))
    order = [name for name in (NAMES[key] for key in ORDER) if any(f["peer"] == name for f in figures)]
    rows = [[f for name in order for f in figures if _is(f, panel, name)] for panel in panels]
    settings: Any = {"svg.hashsalt": "modelkiln", "font.size": 9, "text.color": INK, "axes.labelcolor": INK}
    with mpl.rc_context({**settings, "xtick.color": INK, "ytick.color": INK, "svg.fonttype": "path"}):
        height = sum(len(each) for each in rows) * ROW + len(rows) * MARGIN + 0.3
        sheet, axes = pyplot.subplots(
            len(rows),
            1,
            figsize=(WIDTH, height),
            sharex=True,
            squeeze=False,
            layout="constrained",
            height_ratios=[len(each) + 1 for each in rows],
        )
        for axis, panel, chosen in zip(axes[:, 0], panels, rows, strict=True):
            _draw(axis, panel, chosen)
        # One scale for all, from 0, with room for the labels.
        axes[0, 0].set_xlim(0, 1.35 * max(figure["ratio"] for each in rows for figure in each))
        axes[-1, 0].set_xlabel(f"times as fast as {NAMES[BASE]}: one thread, fp32, the same documents")
        sheet.savefig(path, facecolor=PAPER, metadata={"Date": None})
        pyplot.close(sheet)


ORDER = ("modelkiln", "no-table", "onnx", "openvino", "keybert", "pipeline", "replaced")


def _is(figure: dict[str, Any], panel: Any, name: str) -> bool:
    return (tuple(figure["ngrams"]), figure["in_a_call"], figure["peer"]) == (*panel, name) and figure[
        "ratio"
    ] is not None


def _draw(axis: Any, panel: Any, figures: list[dict[str, Any]]) -> None:
    (least, most), in_a_call = panel
    names = [figure["peer"] for figure in figures]
    colours = [OURS if name.startswith("modelkiln") else THEIRS for name in names]
    bars = axis.barh(names, [figure["ratio"] for figure in figures], color=colours, height=0.72)
    axis.bar_label(bars, [_label(figure) for figure in figures], padding=4, fontsize=8)
    many = "one document at a time" if in_a_call == 1 else f"{in_a_call} documents in a call"
    axis.set_title(f"n-grams ({least},{most}), {many}", loc="left", fontsize=10, fontweight="bold")
    axis.invert_yaxis()
    axis.grid(axis="x", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _label(figure: dict[str, Any]) -> str:
    return f"{figure['ratio']:.2f}   ({figure['documents_per_s']:.2f} documents/s)"
