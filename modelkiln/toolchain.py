"""toolchain.yaml: the versions that compiling and validating depend on.

DVC can't see the environment, so the versions are params: the compile and validate stages depend on their keys, and
refuse to run when what is installed is something else. The group of a backend with an interpreter of its own has that
one's versions: its `python`, what it compiles with, and under `checks` what it judges with.

    python -m modelkiln.toolchain LIBRARY…     what this interpreter has, as JSON; for interpreter.versions
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from modelkiln import interpreter, plugins
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import write_text

TOOLCHAIN = Path("toolchain.yaml")
HEADER = (
    "# The versions that compile and validate depend on, one key per plug-in. Written by `modelkiln compose`\n"
    "# from what is installed; a stage whose environment differs from this file refuses to run.\n"
)
CHECKS = ("keybert", "pytest", "scikit-learn", "sentence-transformers")  # what modelkiln/checks compares with
WORKER = ("numpy", "safetensors", "tokenizers", "torch", "transformers")  # without which no graph is compiled


def python_version() -> str:
    """The running interpreter's, without its patch level, which changes no answer."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those distributions that are there, without local labels (2.13.0 for 2.13.0+cpu)."""
    return {library: version for library in libraries if (version := _version(library))}


def present(libraries: Iterable[str], python: str | None = None, where: str = "compile.python") -> dict[str, str]:
    """python's version first, then those of the libraries that are there; of an interpreter, see interpreter.chosen."""
    libraries = [library for library in libraries if library != "python"]
    if python:
        return interpreter.versions(python, libraries, where)
    return {"python": python_version(), **installed(libraries)}


def record(pythons: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What toolchain.yaml has to say in this environment.

    Args:
        pythons: The interpreters of the backends that have one of their own, {backend: python}. One that is not there
            has nothing.
    """
    groups: dict[str, Any] = {"python": python_version(), "checks": installed(CHECKS)}
    for kind in ("backends", "tasks"):
        for name in plugins.known(kind):
            libraries = plugins.load(kind, name).LIBRARIES
            python = (pythons or {}).get(name) if kind == "backends" else None
            groups[name] = _of_another(python, libraries) if python else installed(libraries)
    return groups


def write(pythons: Mapping[str, str] | None = None, path: Path = TOOLCHAIN) -> None:
    """Writes what is installed into the file; see record."""
    import yaml  # here and below: the worker's interpreter may lack it

    write_text(path, HEADER + yaml.safe_dump(record(pythons), sort_keys=False))


def read(groups: Iterable[str], path: Path = TOOLCHAIN) -> dict[str, str]:
    """The versions that the file names in its `groups`, python's first, as {library: version}.

    Where a group is another interpreter's, `python` and the group `checks` are that one's too.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = {group: dict(data[group]) for group in groups}
        for own in [group.pop("checks") for group in found.values() if "checks" in group]:
            found = {name: own if name == "checks" else group for name, group in found.items()}
        versions = {"python": str(data["python"])}
        for group in found.values():
            versions |= {library: str(version) for library, version in group.items()}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ModelkilnError(f"{path}: missing or damaged ({error!r}); write it with `modelkiln compose`") from error
    return versions


def check(versions: dict[str, str], python: str | None = None, where: str = "compile.python") -> None:
    """Raises a ModelkilnError that names each version in which an environment differs from the ones given.

    Args:
        versions: What is expected, {library: version}.
        python: Whose environment; see interpreter.chosen.
        where: Names that choice in messages.
    """
    found = present(versions, python, where)
    raise_all(
        "the environment is not the one in toolchain.yaml (run `make setup`, or record what is installed with "
        "`modelkiln compose --only toolchain`)",
        [
            f"{name} is {found.get(name, 'not installed')}, expected {version}"
            for name, version in versions.items()
            if found.get(name) != version
        ],
    )


def check_file(pythons: Mapping[str, str], path: Path = TOOLCHAIN) -> None:
    """Raises a ModelkilnError that names each version in the file that is not what is installed; see record."""
    check(read({"checks", *plugins.known("backends"), *plugins.known("tasks")} - set(pythons), path))
    for backend, python in pythons.items():
        if len(read([backend], path)) > 1:  # else it was not there when the file was written
            check(read([backend, "checks"], path), python)


def _of_another(python: str, libraries: Iterable[str]) -> dict[str, Any]:
    try:
        found = interpreter.versions(python, [*libraries, *CHECKS])
    except ModelkilnError:
        return {}
    own = {name: version for name, version in found.items() if name == "python" or name in libraries}
    return {**own, "checks": {name: version for name, version in found.items() if name in CHECKS}}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps({"python": python_version(), **installed(sys.argv[1:])}))
