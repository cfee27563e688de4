"""toolchain.yaml: the versions that compiling and validating depend on.

DVC can't see the environment, so the versions are params: the compile and validate stages depend on their keys, and
refuse to run when what is installed is something else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from modelkiln import plugins
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import write_text

TOOLCHAIN = Path("toolchain.yaml")
HEADER = (
    "# The versions that compile and validate depend on, one key per plug-in. Written by `modelkiln compose`\n"
    "# from what is installed; a stage whose environment differs from this file refuses to run.\n"
)
CHECKS = ("keybert", "pytest", "scikit-learn", "sentence-transformers")  # what modelkiln/checks compares with


def python_version() -> str:
    """The running interpreter's, without its patch level, which changes no answer."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those distributions that are there, without local labels (2.13.0 for 2.13.0+cpu)."""
    return {library: version for library in libraries if (version := _version(library))}


def record() -> dict[str, Any]:
    """What toolchain.yaml has to say in this environment."""
    groups: dict[str, Any] = {"python": python_version(), "checks": installed(CHECKS)}
    for kind in ("backends", "tasks"):
        for name in plugins.known(kind):
            groups[name] = installed(plugins.load(kind, name).LIBRARIES)
    return groups


def write(path: Path = TOOLCHAIN) -> None:
    """Writes what is installed into the file."""
    import yaml  # here and below: the worker's interpreter may lack it

    write_text(path, HEADER + yaml.safe_dump(record(), sort_keys=False))


def read(groups: Iterable[str], path: Path = TOOLCHAIN) -> dict[str, str]:
    """The versions that the file names in its `groups`, python's first, as {library: version}."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        versions = {"python": str(data["python"])}
        for group in groups:
            versions |= {library: str(version) for library, version in data[group].items()}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ModelkilnError(f"{path}: missing or damaged ({error!r}); write it with `modelkiln compose`") from error
    return versions


def check(versions: dict[str, str]) -> None:
    """Raises a ModelkilnError that names each version in which this environment differs from the ones given."""
    found = {"python": python_version(), **installed(library for library in versions if library != "python")}
    raise_all(
        "the environment is not the one in toolchain.yaml (run `make setup`, or record what is installed with "
        "`modelkiln compose --only toolchain`)",
        [
            f"{name} is {found.get(name, 'not installed')}, expected {version}"
            for name, version in versions.items()
            if found.get(name) != version
        ],
    )


def _version(library: str) -> str | None:
    try:
        return metadata.version(library).split("+")[0]
    except metadata.PackageNotFoundError:
        return None
