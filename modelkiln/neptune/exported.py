"""What neptune-exporter 2.x left of Neptune's model registry, without its parquet files.

    model_files/<project>-<hash>/model_versions/<ID>/<attribute path>                   the bytes of a File
    model_files/<project>-<hash>/model_versions/<ID>/<attribute path>/files_list.json   of an Artifact: where they are
    model_data/<project>-<hash>/model_versions/<ID>-<hash>_part_0.parquet               that the version was exported

Facts read in https://github.com/neptune-ai/neptune-exporter (`export-models`); the hashes are BLAKE2b's, of the names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import read_json
from modelkiln.neptune import layout as neptune_layout
from modelkiln.neptune import tracked
from modelkiln.neptune.layout import CARD, COMPILED_VERSIONS
from modelkiln.neptune.tracked import Tracked
from modelkiln.schema import REGISTERED_NAME

FILES = "model_files"
DATA = "model_data"
VERSIONS = "model_versions"
ID = rf"{REGISTERED_NAME}-[0-9]+"  # of a version: its model's, and its number
LINK = "is a symbolic link, which neptune-exporter never writes"


@dataclass(frozen=True)
class Exported:
    """A model version in an export."""

    export: Path
    project: str  # its folder's name
    id: str  # KEYB-MINI-3

    @property
    def folder(self) -> Path:
        return files_of(self.export) / self.project / VERSIONS / self.id

    @property
    def model(self) -> str:
        """KEYB-MINI."""
        return self.id.rpartition("-")[0]

    @property
    def number(self) -> int:
        return int(self.id.rpartition("-")[2])


Bytes = Path | Tracked  # where the bytes of an attribute are


def files_of(export: Path) -> Path:
    """The folder with a folder for each project."""
    return export / FILES if (export / FILES).is_dir() else export


def data_of(version: Exported) -> Path:
    """The folder of the parquet files of its project's versions; need not be there."""
    return files_of(version.export).resolve().parent / DATA / version.project / VERSIONS


def versions(export: Path) -> list[Exported]:
    """All model versions of an export, by project, model and number.

    Raises:
        ModelkilnError: there is no such folder, or no model version in it.
    """
    if not export.is_dir():
        raise ModelkilnError(f"{export}: no such folder; expected one that neptune-exporter wrote")
    found = [
        Exported(export, folder.parents[1].name, folder.name)
        for folder in files_of(export).glob(f"*/{VERSIONS}/*")
        if folder.is_dir() and re.fullmatch(ID, folder.name)
    ]
    if not found:
        raise ModelkilnError(
            f"{export}: no model versions there, expected {FILES}/PROJECT/{VERSIONS}/ID; "
            "write them with `neptune-exporter export-models`"
        )
    return sorted(found, key=lambda version: (version.project, version.model, version.number))


def find(export: Path, identity: str, project: str | None) -> Exported:
    """The version of that id.

    Args:
        export: The export's folder.
        identity: As Neptune's `sys/id`: KEYB-MINI-3.
        project: WORKSPACE/PROJECT, or its folder's name; None: there is only one that has the version.

    Raises:
        ModelkilnError: there is none, which names those like it, or several projects have it.
    """
    there = of_project(versions(export), project)
    found = [version for version in there if version.id == identity]
    if not found:
        near = get_close_matches(identity, [version.id for version in there], n=3, cutoff=0)
        raise ModelkilnError(f"{export}: no model version {identity!r} among {len(there)}; near: {', '.join(near)}")
    if len(found) > 1:
        projects = ", ".join(version.project for version in found)
        raise ModelkilnError(f"{export}: {identity} is in several projects ({projects}): say which, as `project`")
    return found[0]


def of_project(there: Sequence[Exported], project: str | None) -> list[Exported]:
    """The versions of one project, or all for None."""
    if project is None:
        return list(there)
    found = [version for version in there if version.project in (project, folder_name(project))]
    if not found:
        known = ", ".join(sorted({version.project for version in there}))
        raise ModelkilnError(f"{there[0].export}: no project {project!r}; it has {known}")
    return found


def folder_name(name: str) -> str:
    """How neptune-exporter calls the folder of a project, or the files of a version."""
    plain = "".join(character if character.isalnum() or character in "_-" else "_" for character in name)
    return f"{plain}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


def layout(version: Exported) -> tuple[dict[str, Bytes], list[str]]:
    """Where each file of a version goes, as modelkiln.contents says, and where its bytes are; none of them is read.

    Returns:
        {path: bytes}, and the attributes that belong to no model.

    Raises:
        ModelkilnError: the version was not exported to the end, or holds what leads out, collides or is damaged.
    """
    _check_completed(version)
    attributes = _attributes(version)
    card = read_attribute(attributes[CARD]) if CARD in attributes else {}
    placed = neptune_layout.places(attributes, card, str(version.folder))
    left = [name for name in attributes if name not in placed and name != COMPILED_VERSIONS]
    return {path: attributes[attribute] for attribute, path in placed.items()}, left


def read_attribute(data: Bytes) -> Any:
    """The JSON in a file of a version."""
    if isinstance(data, Path):
        return read_json(data, "the JSON")
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        path = Path(scratch) / "attribute"
        bring(data, path)
        try:
            return read_json(path, "the JSON")
        except ModelkilnError as error:
            raise ModelkilnError(str(error).replace(str(path), data.location)) from error


def bring(data: Bytes, dest: Path) -> None:
    """Puts the bytes into the file `dest`, checked as far as the export allows.

    Raises:
        ModelkilnError: they are not what was tracked, or no longer there.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Path):
        shutil.copyfile(data, dest)
    else:
        tracked.fetch(data, dest)


def links_to(path: Path, export: Path) -> list[Path]:
    """The symbolic links on the way from the export's folder to the path, which neptune-exporter never writes."""
    below = path.relative_to(export)
    return [
        link for link in (path, *(export / folder for folder in below.parents if folder.parts)) if link.is_symlink()
    ]


def _check_completed(version: Exported) -> None:
    """neptune-exporter names a version's first parquet file when all else of it is there."""
    folder = data_of(version)
    if folder.is_dir() and not (folder / f"{folder_name(version.id)}_part_0.parquet").exists():
        raise ModelkilnError(
            f"{version.folder}: not exported to the end, since {folder} has nothing of it; export it again"
        )


def _attributes(version: Exported) -> dict[str, Bytes]:
    """{attribute: bytes} of all the version's files."""
    mistakes = [f"{link} {LINK}" for link in links_to(version.folder, version.export)]
    found = {} if mistakes else dict(_walk(version.folder, "", mistakes))
    raise_all(f"{version.folder}: refused", mistakes)
    return found


def _walk(folder: Path, prefix: str, mistakes: list[str]) -> Iterator[tuple[str, Bytes]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        path = Path(entry.path)
        if entry.is_symlink():
            mistakes.append(f"{name!r} {LINK}")
        elif not _is_utf8(name):
            mistakes.append(f"{name!r} is no UTF-8")
        elif entry.is_dir():
            # A File of that name has others beside it; alone in its folder, it can't be told from an Artifact's list.
            if [each.name for each in os.scandir(path)] == [tracked.LIST]:
                yield from tracked.read(name, path / tracked.LIST).items()
            else:
                yield from _walk(path, f"{name}/", mistakes)
        elif entry.is_file():
            yield name, path
        else:
            mistakes.append(f"{name!r} is no file")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
