"""Moving the alias that serving follows: forward to a version whose verdict is positive, and back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modelkiln.contents import COMPILED, VERDICT
from modelkiln.errors import ModelkilnError
from modelkiln.registries import Place, Ref, Version
from modelkiln.verdict import read_verdict


def promote(version: Version, alias: str, place: Place) -> None:
    """Moves an alias to a version of that place.

    Raises:
        ModelkilnError: the version is no compiled model with a positive verdict of its own.
    """
    _require_positive_verdict(version, place)
    place.registry.set_alias(version, alias, place.options)


def roll_back(name: str, alias: str, place: Place) -> tuple[Version, Version]:
    """Moves an alias to what it stood for before it was last moved; doing it again undoes that.

    Returns:
        What it stood for, and what it stands for now.

    Raises:
        ModelkilnError: it was never anything else, or that version is gone, or has no positive verdict.
    """
    current = place.registry.resolve(Ref(place.name, name, alias=alias), place.options)
    previous = current.tags.get(f"previous.{alias}")
    if previous is None:
        raise ModelkilnError(
            f"{place.name}:{name}@{alias} has been version {current.version} from the first, as far as the registry "
            f"knows; choose a version yourself: modelkiln versions {name}, then modelkiln promote {name}/N {alias}"
        )
    target = place.registry.resolve(Ref(place.name, name, version=previous), place.options)
    promote(target, alias, place)
    return current, target


def _require_positive_verdict(version: Version, place: Place) -> None:
    if version.kind != COMPILED:
        raise ModelkilnError(f"{version.ref}: a {version.kind} model has no verdict, and so can't be promoted")
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        place.registry.fetch(version, Path(scratch), place.options, only=[VERDICT])
        if not (Path(scratch) / VERDICT).exists():
            raise ModelkilnError(f"{version.ref}: not promoted: it was registered without a verdict")
        verdict = read_verdict(Path(scratch) / VERDICT)
    if not (verdict.passed and verdict.is_borne_out()):
        raise ModelkilnError(f"{version.ref}: not promoted: its verdict is negative: {verdict.reason()}")
    if verdict.artifact != version.digest:
        raise ModelkilnError(
            f"{version.ref}: not promoted: its verdict is of artifact {verdict.artifact}, this is {version.digest}"
        )
