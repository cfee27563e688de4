"""The model card for people, made from the JSON that Neptune had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelkiln.contents import LEGACY
from modelkiln.neptune.layout import CARD_FILE

# A registry's database may have 5,000 characters for a description: MLflow's has.
LONGEST_CARD = 4000
LONGEST_VALUE = 300


def write_card(identity: str, kind: str, card: str | None) -> str:
    """The card, in Markdown; the same for the same version.

    Args:
        identity: Neptune's id of the version.
        kind: See modelkiln.contents.
        card: The JSON that Neptune had, or None.
    """
    what = (
        "Compiled by an earlier system, and kept as it was: modelkiln does not load it."
        if kind == LEGACY
        else "A trained model, which `dvc exp run -S variant=trained` compiles."
    )
    lines = [f"# {identity}", "", f"Carried over from an export of Neptune's model registry. {what}", ""]
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in _rows(card)]
    if rows:
        lines += [f"What its card said; all of it is in `{CARD_FILE}`.", "", "| | |", "|---|---|"]
    room = LONGEST_CARD - len("\n".join(lines))
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            lines.append("| … | |")
            break
        lines.append(row)
    return "\n".join([*lines, ""])


def _rows(card: str | None) -> Iterator[tuple[str, Any]]:
    if card is None:
        return
    data = json.loads(card)
    waiting = [("", data)]
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, Mapping) and value:
            waiting = [(f"{name}.{key}" if name else str(key), each) for key, each in value.items()] + waiting
        else:
            yield name, value


def _cell(value: Any) -> str:
    """On one line and without what would end the cell or begin HTML."""
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())
    text = text.encode(errors="replace").decode()
    text = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
