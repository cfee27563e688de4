"""What imports what, read from the source: for the tests of the architecture and of dvc.yaml's dependencies."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOT_MODULE = Path("modelkiln/__init__.py")


def module_file(name: str) -> Path | None:
    """The file of one of our own modules, relative to the root, or None where the name is no such module."""
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).exists():
            return candidate
    return None


def imported(file: Path, inside_functions: bool = True) -> set[Path]:
    """Our own files that a file imports itself.

    Left out: what is imported for annotations only. The package's root is the door to load(), so it counts where it is
    imported by itself, and not where something is imported from it.
    """
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    nodes = ast.walk(tree) if inside_functions else iter(tree.body)
    names: set[str] = set()
    door: set[Path] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            door |= {ROOT_MODULE for alias in node.names if alias.name == "modelkiln"}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {module_file(name) for name in names if name.split(".")[0] in ("modelkiln", "stages")}
    return {found for found in files if found and found != ROOT_MODULE} | door


def closure(*files: Path) -> set[Path]:
    """The files, and all that they import, directly or not."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imported(file)
    return found
