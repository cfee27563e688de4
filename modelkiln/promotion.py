"""Moving the alias that serving follows: forward to a version whose verdict is positive, and back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modelkiln import gate
from modelkiln.artifact import MANIFEST, Manifest, read_manifest
from modelkiln.contents import COMPILED, MODEL, VERDICT, VERDICT_SIGNATURE
from modelkiln.errors import ModelkilnError
from modelkiln.plan import suite_digest
from modelkiln.registries import Place, Ref, Version
from modelkiln.verdict import Verdict, read_verdict


def promote(version: Version, alias: str, place: Place) -> None:
    """Moves an alias to a version of that place.

    Raises:
        ModelkilnError: the version is no compiled model with a verdict that modelkiln.gate takes for a pass.
    """
    verdict, manifest, signature = _judgement(version, place)
    gate.require_signature(verdict, signature, f"{version.ref}: not promoted")
    gate.require_pass(verdict, manifest, None, f"{version.ref}: not promoted")
    place.registry.set_alias(version, alias, place.options)


def roll_back(name: str, alias: str, place: Place) -> tuple[Version, Version]:
    """Moves an alias to what it stood for before it was last moved; doing it again undoes that.

    That version may have been judged by an earlier modelkiln, whose checks nobody here knows: then its own word has to
    do, since it has stood behind the alias before, and a bad day is none for validating anew.

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
    verdict, manifest, signature = _judgement(target, place)
    gate.require_signature(verdict, signature, f"{target.ref}: not promoted")
    if verdict.suite == suite_digest():
        gate.require_pass(verdict, manifest, None, f"{target.ref}: not promoted")
    else:
        gate.require_own_pass(verdict, manifest, f"{target.ref}: not promoted")
    place.registry.set_alias(target, alias, place.options, still=current.version)
    return current, target


def _judgement(version: Version, place: Place) -> tuple[Verdict, Manifest, str]:
    """The verdict that a version was registered with, the manifest of the artifact that it is of, and its signature."""
    if version.kind != COMPILED:
        raise ModelkilnError(f"{version.ref}: a {version.kind} model has no verdict, and so can't be promoted")
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        folder = Path(scratch)
        wanted = [VERDICT, VERDICT_SIGNATURE, f"{MODEL}/{MANIFEST}"]
        place.registry.fetch(version, folder, place.options, only=wanted)
        if not (folder / VERDICT).exists():
            raise ModelkilnError(f"{version.ref}: not promoted: it was registered without a verdict")
        manifest = read_manifest(folder / MODEL)
        if manifest.digest != version.digest:
            raise ModelkilnError(
                f"{version.ref}: not promoted: registered as artifact {version.digest}, and holds {manifest.digest}"
            )
        signature = folder / VERDICT_SIGNATURE
        signed = signature.read_text(encoding="utf-8") if signature.exists() else ""
        return read_verdict(folder / VERDICT), manifest, signed
