"""What a statement claims of an artifact, held against what can be found out here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelkiln.contents import VERDICT
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import read_json
from modelkiln.lineage import Unknown
from modelkiln.lineage.statement import (
    ARTIFACT,
    BUILD_TYPE,
    GIT,
    LOCK,
    LOCK_DIGEST,
    PREDICATE,
    SOURCE,
    STATEMENT,
    TOOLCHAIN,
    UNKNOWN,
    make_statement,
)
from modelkiln.lineage.trace import trace

ABSENT = "nothing"
OPEN = ("dvc.lock", "git commit", "params", "source files", "verdict")  # what a statement may leave open
Facts = dict[str, dict[str, str]]  # {part: {name: value}}, the parts called as in Chain.unknown


def verify_provenance(ref: str, digest: str, path: Path) -> list[str]:
    """Holds an artifact against a statement about it.

    Args:
        ref: Names the artifact, whose bytes have been verified.
        digest: Its content digest.
        path: The statement, as `modelkiln lineage --json` writes it.

    Returns:
        A line for each part that could not be compared, and one that sums up.

    Raises:
        ModelkilnError: something is not as the statement says (all of it is named), or it is no such statement.
    """
    claimed = read_json(path, "the statement")
    theirs = _read(claimed, path)
    chain = trace(ref, ask=False)
    if chain.digest != digest:
        raise ModelkilnError(f"{ref}: stands for artifact {chain.digest} by now; {digest} was verified")
    ours = _facts(make_statement(chain))
    unknown = {part: f"here {Unknown(why)}" for part, why in chain.unknown().items()}
    said = claimed["predicate"].get(UNKNOWN) or {}
    unknown |= {part: f"there {Unknown(str(said[part]))}" for part in OPEN if part in said}
    parts = sorted({*ours, *theirs})
    mismatches: list[str] = []
    for part in parts:
        mismatches += _differences(part, ours.get(part, {}), theirs.get(part, {}), part in unknown)
    raise_all(f"{ref}: not what {path} says", mismatches)
    agreed = [part for part in parts if part not in unknown]
    left = [f"{ref}: {part} can't be compared: {unknown[part]}" for part in parts if part in unknown]
    return [*left, f"{ref}: as {path} says: {', '.join(agreed)}"]


def _read(claimed: Any, path: Path) -> Facts:
    """The facts in what a file holds; a ModelkilnError where it is no statement of ours."""
    try:
        found = {
            "_type": (claimed["_type"], STATEMENT),
            "predicateType": (claimed["predicateType"], PREDICATE),
            "buildType": (claimed["predicate"]["buildDefinition"]["buildType"], BUILD_TYPE),
        }
        other = [
            f"{name} is {value!r}, expected {wanted!r}" for name, (value, wanted) in found.items() if value != wanted
        ]
        raise_all(f"{path}: no statement that modelkiln makes", other)
        dict(claimed["predicate"].get(UNKNOWN) or {})
        return _facts(claimed)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelkilnError(f"{path}: the statement is damaged: {type(error).__name__}: {error}") from error


def _facts(statement: Mapping[str, Any]) -> Facts:
    """What a statement claims; registered versions are left out, since they come later, and go."""
    definition, details = (statement["predicate"][name] for name in ("buildDefinition", "runDetails"))
    found: list[tuple[str, str, str]] = [
        ("artifact" if each["name"] == ARTIFACT else "file", each["name"], each["digest"]["sha256"])
        for each in statement["subject"]
    ]
    for each in definition.get("resolvedDependencies") or ():
        found += _dependency(each)
    for each in details.get("byproducts") or ():
        if each["name"] == VERDICT:
            found.append(("verdict", "sha256", each["digest"]["sha256"]))
            found += [("verdict", name, value) for name, value in _flat(each.get("annotations") or {})]
        elif each["name"] == LOCK:
            found.append(("dvc.lock", "md5", each["digest"][LOCK_DIGEST]))
    found += [("params", name, value) for name, value in _flat(definition.get("externalParameters") or {})]
    found += [("graph", name, value) for name, value in _flat(definition.get("internalParameters") or {})]
    facts: Facts = {}
    for part, name, value in found:
        if facts.setdefault(part, {}).setdefault(name, value) != value:
            raise ValueError(f"it says two things of {part} {name}")
    return facts


def _dependency(each: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    kind, _, name = str(each["name"]).partition("/")
    if kind == SOURCE and name:
        yield "source files", name, each["digest"]["sha256"]
    elif kind == SOURCE:
        yield "source", "revision", each["uri"]
    elif kind == TOOLCHAIN:
        yield "toolchain", name, each["uri"]
    elif kind == GIT:
        yield "git commit", "sha1", each["digest"]["gitCommit"]
        yield from (("git commit", key, value) for key, value in _flat(each.get("annotations") or {}))
    else:
        yield "dependency", str(each["name"]), json.dumps(each, sort_keys=True)


def _flat(data: Any, above: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from _flat(value, f"{above}.{name}" if above else str(name))
    elif above:
        yield above, json.dumps(data, sort_keys=True)


def _differences(part: str, ours: Mapping[str, str], theirs: Mapping[str, str], some: bool) -> list[str]:
    """A line for each fact that is not the same on both sides; `some`: of those alone that both sides have."""
    names = sorted({*ours, *theirs}) if not some else sorted({*ours} & {*theirs})
    pairs = [(name, ours.get(name, ABSENT), theirs.get(name, ABSENT)) for name in names]
    return [f"{part} {name}: {found}, the statement says {said}" for name, found, said in pairs if found != said]
