"""From an export of Neptune's model registry into a registry: every model version once, in its order, with its lineage.

A registered version's tags say where it came from: `migrated_from`, `neptune_project` (the project's folder in the
export), `stage` where the export's parquet files can be read, and, of what was compiled from another, `source_id`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelkiln import contents, registries
from modelkiln.contents import LEGACY, MODEL
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.migration.card import write_card
from modelkiln.migration.plan import Plan, Planned
from modelkiln.neptune import exported
from modelkiln.neptune.exported import Exported
from modelkiln.neptune.layout import ARTIFACTS, CARD_FILE
from modelkiln.registries import Registration, Registry, Version
from modelkiln.s3 import Unreachable

STAGE = "sys/stage"


@dataclass(frozen=True)
class Outcome:
    """What became of one version."""

    planned: Planned
    version: Version | None = None  # None: refused
    was_there: bool = False
    refused: str = ""
    left: tuple[str, ...] = ()  # attributes that belong to no model


def migrate(plan: Plan, registry_name: str, options: Any) -> Iterator[Outcome]:
    """Carries one version after the other, and says of each what became of it; done again, it adds nothing.

    Raises:
        ModelkilnError: the registry failed, or S3 can't be reached. What is done is done, and the next run goes on.
    """
    registry = registries.load(registry_name)
    known: dict[str, dict[tuple[str, str], Version]] = {}
    carried: dict[Exported, Version] = {}
    links: dict[Exported, list[tuple[Exported, Exported]]] = {}  # by either end
    for source, compiled in ((source, planned.version) for planned in plan.versions for source in planned.sources):
        links.setdefault(source, []).append((source, compiled))
        links.setdefault(compiled, []).append((source, compiled))
    for planned in plan.versions:
        version = planned.version
        if version.model not in known:
            known[version.model] = _migrated(registry, version.model, options)
        if there := known[version.model].get((planned.origin, version.project)):
            outcome = Outcome(planned, there, was_there=True)
        else:
            outcome = _carry(planned, registry, options, carried)
        if outcome.version:
            carried[version] = outcome.version
            for source, compiled in links.get(version, []):
                if {source, compiled} <= set(carried) and carried[compiled].ref not in carried[source].compiled:
                    registry.link(carried[source], carried[compiled], options)
        yield outcome


def check(planned: Planned) -> str:
    """Why a version would be refused, as far as that shows without its bytes; empty: it would not be."""
    try:
        _require_model(planned.version, exported.layout(planned.version)[0])
    except ModelkilnError as error:
        return one_line(error)
    return ""


def _migrated(registry: Registry, name: str, options: Any) -> dict[tuple[str, str], Version]:
    """The versions of a name that an earlier run has completed, by what they were there."""
    try:
        there = registry.versions(name, options)
    except ModelkilnError:  # no such name yet; where the registry has failed, registering will say so
        return {}
    found: dict[tuple[str, str], Version] = {}
    for version in there:
        if "migrated_from" in version.tags:
            found.setdefault((version.tags["migrated_from"], version.tags.get("neptune_project", "")), version)
    return found


def _carry(planned: Planned, registry: Registry, options: Any, carried: Mapping[Exported, Version]) -> Outcome:
    version = planned.version
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        folder = Path(scratch)
        try:
            extras, left = _unpack(version, folder)
            stage = _stage_of(version)
        except Unreachable:
            raise
        except ModelkilnError as error:
            return Outcome(planned, refused=one_line(error))
        extras[contents.CARD] = write_card(version.id, planned.kind, extras.get(CARD_FILE))
        listed = contents.list_contents(folder / MODEL, extras, planned.origin)
        digest = contents.digest_of(listed)
        if there := registry.find(version.model, digest, options):
            return Outcome(planned, there, was_there=True, left=left)
        registration = Registration(
            name=version.model,
            project=version.project.rpartition("-")[0] or version.project,
            kind=planned.kind,
            digest=digest,
            model=folder / MODEL,
            extras={**extras, contents.CONTENTS: listed},
            tags=_tags(planned, carried, stage),
            card=extras[contents.CARD],
        )
        return Outcome(planned, registry.register(registration, options), left=left)


def _unpack(version: Exported, folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Puts the model into `folder`; gives the texts beside it, and the attributes that belong to no model."""
    placed, left = exported.layout(version)
    _require_model(version, placed)
    extras = {}
    for path, data in placed.items():
        exported.bring(data, folder / path)
        if not path.startswith(f"{MODEL}/"):
            try:
                extras[path] = (folder / path).read_bytes().decode()
            except UnicodeDecodeError as error:
                raise ModelkilnError(f"{version.folder}: what goes to {path} is no UTF-8 text") from error
    return extras, tuple(left)


def _require_model(version: Exported, placed: Mapping[str, object]) -> None:
    if not any(path.startswith(f"{MODEL}/") for path in placed):
        raise ModelkilnError(f"{version.folder}: no file of a model in it, expected some under {ARTIFACTS}/")


def _tags(planned: Planned, carried: Mapping[Exported, Version], stage: str | None) -> dict[str, str]:
    tags = {"migrated_from": planned.origin, "neptune_project": planned.version.project}
    tags |= {"stage": stage} if stage else {}
    if planned.kind == LEGACY:
        source = planned.sources[0]
        # One that was refused keeps the name that it had.
        tags["source_id"] = carried[source].ref if source in carried else f"neptune-export:{source.id}"
    return tags


def _stage_of(version: Exported) -> str | None:
    """The version's stage, such as `production`; None where there is no parquet file, or no pyarrow to read it with.

    Raises:
        ModelkilnError: the file is damaged.
    """
    parts = sorted(exported.data_of(version).glob(f"{exported.folder_name(version.id)}_part_*.parquet"))
    if not parts or not find_spec("pyarrow"):
        return None
    from pyarrow import ArrowException, parquet

    columns = ["attribute_path", "string_value"]
    try:
        tables = [parquet.read_table(part, columns=columns, filters=[(columns[0], "=", STAGE)]) for part in parts]
    except (ArrowException, OSError) as error:
        raise ModelkilnError(f"{parts[0]}: damaged, or none of neptune-exporter: {one_line(error)}") from error
    found = [row[columns[1]] for table in tables for row in table.to_pylist() if row[columns[1]]]
    return str(found[0]) if found else None
