"""The pages' templates: whatever is put into one is escaped, and what can't be seen is spelled out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelkiln.report import words

FOLDER = Path(__file__).parent


def fill(template: Path, values: Mapping[str, object]) -> str:
    """The page that a template gives.

    Args:
        template: The file; it may import the report's, and the style.css beside it follows the report's.
        values: Everything that it names, `style` apart; a name that is missing is an error.
    """
    from markupsafe import Markup

    sheets = [folder / "style.css" for folder in dict.fromkeys((FOLDER, template.parent))]
    style = Markup("".join(sheet.read_text(encoding="utf-8") for sheet in sheets))  # noqa: S704 (our own files)
    page: str = _load(template).render(values, style=style)
    return page


@functools.cache
def _load(template: Path) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, FOLDER]),
        autoescape=True,
        finalize=lambda value: words.legible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name)
