"""What the installed distributions need, all the way down, as this interpreter has them.

The compile worker asks, since it runs in the interpreter that serves (docs/decisions/0002-worker.md), so this module
keeps to Python 3.9 syntax. What is read is each distribution's own metadata:
https://packaging.python.org/en/latest/specifications/core-metadata/

    python -m modelkiln.distributions ROOTS     the closure of JSON's roots, as JSON; for interpreter.closure
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from modelkiln.errors import ModelkilnError

LICENSE_CLASSIFIER = "License :: "
LONGEST = 100  # characters of a licence's name; what is longer is its text


def closure(roots: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """All that the roots need, directly or not.

    Args:
        roots: Requirements as distributions state them, such as `numpy>=1.26`, by the name of what has them.

    Returns:
        {name: {version, licenses, requires}} with canonical names. A root has `requires` alone; what is asked for and
        not installed has the version None, and nothing more is known of it.
    """
    # Here, since serving does without it; transformers brings it wherever a graph is compiled.
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, dict[str, Any]] = {name: {"requires": []} for name in roots}
    waiting = [(name, "", Requirement(line)) for name, lines in roots.items() for line in lines]
    seen: set[tuple[str, str]] = set()
    while waiting:
        by, extra, requirement = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = str(canonicalize_name(requirement.name))
        if name not in found:
            found[name] = _read(name)
        found[by]["requires"] = sorted({*found[by]["requires"], name})
        for asked in ("", *sorted(requirement.extras)):
            if (name, asked) not in seen:
                seen.add((name, asked))
                waiting += [(name, asked, Requirement(line)) for line in _requirements(name)]
    return dict(sorted(found.items()))


def own(name: str) -> tuple[dict[str, Any], list[str]]:
    """A distribution's {version, licenses}, and its requirements.

    Raises:
        ModelkilnError: it is not installed here.
    """
    read = _read(name)
    if read["version"] is None:
        raise ModelkilnError(
            f"{name} runs here, but is not installed, so nobody knows what it needs: `make setup`, or "
            "`pip install --no-deps -e .` in the project's folder"
        )
    return {"version": read["version"], "licenses": read["licenses"]}, _requirements(name)


def _read(name: str) -> dict[str, Any]:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return {"version": None, "licenses": [], "requires": []}
    # Without the local label: 2.13.0+cpu is the release 2.13.0, under which an advisory would name it.
    return {"version": distribution.version.split("+")[0], "licenses": _licenses(distribution), "requires": []}


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _licenses(distribution: metadata.Distribution) -> list[str]:
    """As the metadata has them, the most exact field first; none where they only quote a licence's text."""
    fields: Any = distribution.metadata
    for field in ("License-Expression", "License"):
        said = str(fields.get(field) or "").strip()
        if said and said != "UNKNOWN" and "\n" not in said and len(said) <= LONGEST:
            return [said]
    classifiers = [str(line) for line in fields.get_all("Classifier") or []]
    named = {line.rsplit(" :: ", 1)[-1] for line in classifiers if line.startswith(LICENSE_CLASSIFIER)}
    return sorted(named - {"OSI Approved"})


if __name__ == "__main__":
    print(json.dumps(closure(json.loads(sys.argv[1]))))
