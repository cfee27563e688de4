"""What the registries hold: the versions of an artifact, and the version of the model that it was compiled from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from modelkiln import plugins
from modelkiln.artifact import Manifest
from modelkiln.contents import CONTENTS, MODEL
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_json
from modelkiln.lineage import Held, Unknown
from modelkiln.progress import step
from modelkiln.registries import Ref, Version, parse_ref, project_place


def holding(digest: str, names: Iterable[str]) -> tuple[Held, ...]:
    """What each registry holds of that artifact, under any of these names; one that can't be asked says why."""
    looked_for = tuple(sorted(set(names)))
    held = []
    for registry in plugins.known("registries"):
        versions: tuple[Version, ...] | Unknown = Unknown("no name is known under which it could be registered")
        try:
            if looked_for:
                versions = _holding(registry, digest, looked_for)
        except ModelkilnError as error:
            versions = Unknown(one_line(error))
        held.append(Held(registry, looked_for, versions))
    return tuple(held)


def source_version(manifest: Manifest) -> Version | Unknown | None:
    """The registered model that an artifact was compiled from; None: it came from elsewhere."""
    if manifest.source.get("source") != "registry":
        return None
    try:
        ref = parse_ref(str(manifest.source["id"]))
        if ref is None:
            return Unknown(f"{manifest.source['id']!r} names no version in a registry")
        place = project_place(ref.registry)
        with step(f"asking {ref.registry} for {ref}"):
            return place.registry.resolve(ref, place.options)
    except ModelkilnError as error:
        return Unknown(one_line(error))


def files_of(version: Version) -> dict[str, str]:
    """The sha256 of each file of a registered model, as the source `registry` brings them.

    Raises:
        ModelkilnError: the registry failed, or another system registered it, without a list of its files.
    """
    place = project_place(version.registry)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        place.registry.fetch(version, Path(scratch), place.options, only=[CONTENTS])
        listed = read_json(Path(scratch) / CONTENTS, f"the list of contents of {version.ref}")["files"]
    return {path.removeprefix(f"{MODEL}/"): str(entry["sha256"]) for path, entry in listed.items()}


def _holding(registry: str, digest: str, names: tuple[str, ...]) -> tuple[Version, ...]:
    place = project_place(registry)
    with step(f"asking {registry}"):
        found = [place.registry.find(name, digest, place.options) for name in names]
        # A search may leave the aliases out.
        refs = [Ref(registry, version.name, version=version.version) for version in found if version]
        return tuple(place.registry.resolve(ref, place.options) for ref in refs)
