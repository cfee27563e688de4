"""Plug-ins are modules: `name: generic` in a config file is `modelkiln/backends/generic.py`, and nothing else.

A name comes from a config or from the manifest of an artifact that somebody sent, so it is looked up among the files of
modelkiln's own folders and never imported as it stands.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from modelkiln.errors import ModelkilnError

KINDS = {"backends": "backend", "sources": "source", "registries": "registry", "tasks": "task"}


def known(kind: str) -> list[str]:
    """The short names of the plug-ins of a kind, such as `backends`, in alphabetical order."""
    package = importlib.import_module(f"modelkiln.{kind}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(kind: str, name: str) -> ModuleType:
    """The plug-in `name` of a kind.

    Raises:
        ModelkilnError: there is none of that name; the message lists those there are.
    """
    names = known(kind)
    if name not in names:
        raise ModelkilnError(f"unknown {KINDS[kind]} {name!r}{suggest(name, names)}")
    return importlib.import_module(f"modelkiln.{kind}.{name}")


def suggest(word: str, names: Iterable[str]) -> str:
    """The end of an error message about `word`: the nearest of the names it may have meant, and all of them."""
    names = sorted(names)
    nearest = difflib.get_close_matches(word, names, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"{hint}; known: {', '.join(names) or 'none'}"
