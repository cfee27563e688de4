"""In which order the model versions of an export are carried, and as what; read from the export alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

from modelkiln.contents import LEGACY, TRAINED
from modelkiln.errors import ModelkilnError, one_line, raise_all
from modelkiln.neptune import exported, tracked
from modelkiln.neptune.exported import Exported
from modelkiln.neptune.layout import COMPILED_VERSIONS
from modelkiln.s3 import Unreachable

Key = tuple[str, str]  # the project's folder, and the version's id
Link = tuple[Key, Key]  # a source, and what was compiled from it


@dataclass(frozen=True)
class Planned:
    """A version that is to be carried."""

    version: Exported
    kind: str  # see modelkiln.contents
    sources: tuple[Exported, ...] = ()  # what it was compiled from

    @property
    def origin(self) -> str:
        """What it was, as a tag says it; a part of its digest, so that equal files of two versions remain two."""
        return f"neptune-export:{self.version.id}"


@dataclass(frozen=True)
class Plan:
    """What is to be done, in order: sources before what was compiled from them, and numbers of a model ascending."""

    versions: tuple[Planned, ...]
    notes: tuple[str, ...]  # what the export has besides, or lacks


def make_plan(export: Path, project: str | None = None) -> Plan:
    """What there is to carry. Of S3 only lists of what was compiled are read, where they lie there.

    Args:
        export: The export's folder.
        project: WORKSPACE/PROJECT, or its folder's name; None: all.

    Raises:
        ModelkilnError: there is no such export, two projects have a model of the same id, or a list of what was
            compiled is damaged: nobody knows then what the others are.
    """
    chosen = exported.of_project(exported.versions(export), project)
    there = {(version.project, version.id): version for version in chosen}
    _refuse_twins(chosen)
    links, notes = _links(there)
    order = _order(there, links, notes)
    sources: dict[Key, list[Exported]] = {}
    for source, compiled in links:
        sources.setdefault(compiled, []).append(there[source])
    planned = [Planned(there[key], LEGACY if key in sources else TRAINED, tuple(sources.get(key, ()))) for key in order]
    return Plan(tuple(planned), (*notes, *_besides(export)))


def _refuse_twins(versions: list[Exported]) -> None:
    projects: dict[str, set[str]] = {}
    for version in versions:
        projects.setdefault(version.model, set()).add(version.project)
    raise_all(
        "their versions would become one model's: choose one with --project",
        [f"{model} is in {', '.join(sorted(names))}" for model, names in projects.items() if len(names) > 1],
    )


def _links(there: Mapping[Key, Exported]) -> tuple[list[Link], list[str]]:
    links: list[Link] = []
    notes: list[str] = []
    missing: list[str] = []
    mistakes: list[str] = []
    for key, version in there.items():
        try:
            compiled = _compiled_from(version)
        except Unreachable:
            raise
        except ModelkilnError as error:
            mistakes.append(one_line(error))
            continue
        for other in compiled:
            if other not in there:
                missing.append(f"{other[1]}, compiled from {version.id}")
            elif other == key:
                notes.append(f"{version.id} is said to be compiled from itself, which is left out")
            else:
                links.append((key, other))
    raise_all("what the versions are can't be told: mend or remove this", mistakes)
    if missing:
        notes.append(f"compiled versions that are not there are not carried ({len(missing)}: {missing[0]} …)")
    return links, notes


def _compiled_from(version: Exported) -> list[tuple[str, str]]:
    """What was compiled from a version: the project's folder and the id of each.

    Raises:
        ModelkilnError: the list is damaged, or can't be read.
    """
    path = version.folder / COMPILED_VERSIONS
    if not path.exists():
        return []
    raise_all(str(path), [f"{link} {exported.LINK}" for link in exported.links_to(path, version.export)])
    found = path if path.is_file() else tracked.read(COMPILED_VERSIONS, path / tracked.LIST).get(COMPILED_VERSIONS)
    listed = exported.read_attribute(found) if found else None
    if not isinstance(listed, list) or not all(
        isinstance(entry, Mapping) and isinstance(entry.get("with_id"), str) for entry in listed
    ):
        raise ModelkilnError(f"{path}: damaged: expected a list of objects that have `with_id`")
    pairs = [
        (
            exported.folder_name(entry["project"]) if isinstance(entry.get("project"), str) else version.project,
            entry["with_id"],
        )
        for entry in listed
    ]
    return list(dict.fromkeys(pairs))


def _order(there: Mapping[Key, Exported], links: list[Link], notes: list[str]) -> list[Key]:
    """Sorted topologically; links that run in a circle count for nothing here."""
    previous: dict[tuple[str, str], Key] = {}
    after: dict[Key, list[Key]] = {}
    for key, version in there.items():  # by project, model and number
        model = (version.project, version.model)
        after[key] = [previous[model]] if model in previous else []
        previous[model] = key
    loose = {key: list(before) for key, before in after.items()}
    for source, compiled in links:
        after[compiled].append(source)
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        circle = ", ".join(identity for _, identity in dict.fromkeys(error.args[1]))
        notes.append(f"compiled from one another in a circle: {circle}; carried in the order of their numbers")
        return list(TopologicalSorter(loose).static_order())


def _besides(export: Path) -> Iterator[str]:
    """What the exporter writes of other things than model versions."""
    files = exported.files_of(export)
    if any((files.resolve().parent / name).is_dir() for name in ("data", "files")):
        yield "runs, with their metrics and files, are not carried"
    if strange := [path for path in files.glob(f"*/{exported.VERSIONS}/*") if not re.fullmatch(exported.ID, path.name)]:
        yield f"what no model version can be called is not carried ({len(strange)}: {strange[0].name} …)"
    if any(files.glob("*/models/*")):
        yield "files of the models themselves, which are of no version, are not carried"
    if (files.resolve().parent / exported.DATA).is_dir():
        yield "of the versions' parameters and metrics only the stage is carried" + (
            "" if find_spec("pyarrow") else ", and that needs an extra: pip install 'modelkiln[parquet]'"
        )
