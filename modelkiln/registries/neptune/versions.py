"""Neptune's model versions as modelkiln sees them: which there are, which are complete, and what they say.

Under `modelkiln/` a version says `digest`, `kind`, `status`, `lineage/…` and `previous/STAGE`. It is complete once
`status` is. A version with neither digest nor status was written by another system; it counts as complete if it holds a
model, and has no digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln.contents import KINDS, LEGACY, MODEL, TRAINED
from modelkiln.errors import ModelkilnError
from modelkiln.neptune.layout import COMPILED_VERSIONS, OWN
from modelkiln.registries import Version
from modelkiln.registries.neptune import client as neptune_client
from modelkiln.registries.neptune import files as neptune_files
from modelkiln.registries.neptune import links as neptune_links
from modelkiln.registries.neptune.client import Client

REGISTRY = "neptune"
DIGEST = f"{OWN}/digest"
KIND = f"{OWN}/kind"
STATUS = f"{OWN}/status"
PROJECT = f"{OWN}/project"
LINEAGE = f"{OWN}/lineage/"
PREVIOUS = f"{OWN}/previous/"
COMPLETE = "complete"
STAGES = {"champion": "production", "challenger": "staging"}
OWN_STAGES = ("production", "staging", "archived")
COMPILED_ENDINGS = (".pt", ".pt2", ".ts", ".neff", ".onnx", ".xml", ".so")
WEIGHTS_ENDINGS = (".safetensors", ".bin", ".h5", ".ckpt", ".pth")


@dataclass(frozen=True)
class Row:
    """A version in the table of its model's versions."""

    id: str
    number: int
    stage: str
    digest: str
    status: str


def rows(client: Client, name: str) -> list[Row]:
    """All versions of a model but those in the trash, oldest first, complete or not."""
    with neptune_client.model(client, name) as model:
        # By creation time, the default, an empty table is an error.
        table = model.fetch_model_versions_table(
            columns=["sys/stage", DIGEST, STATUS], sort_by="sys/id", progress_bar=False
        )
        found = [_row(entry) for entry in table.to_rows()]
    return sorted(found, key=lambda row: row.number)


def same(client: Client, name: str, digest: str) -> list[Row]:
    """Those with that digest; none where there is no such model."""
    from neptune.exceptions import ModelNotFound

    try:
        return [row for row in rows(client, name) if row.digest == digest]
    except ModelNotFound:
        return []


def read(client: Client, version_id: str) -> Version | None:
    """A version, or None where it is not complete, or in the trash."""
    with neptune_client.version(client, version_id) as found:
        values = neptune_client.values(found)
        if values.get("sys/trashed"):
            return None
        if DIGEST in values or STATUS in values:
            digest, kind = str(values.get(DIGEST, "")), str(values.get(KIND, ""))
            if values.get(STATUS) != COMPLETE:
                return None
            if not re.fullmatch(r"[0-9a-f]{64}", digest) or kind not in KINDS:
                raise ModelkilnError(f"Neptune at {client.place}: {version_id} has digest {digest!r} and kind {kind!r}")
        else:
            kinds = neptune_client.attributes(found)
            files = neptune_files.earlier_places(found, kinds, version_id).values()
            digest, kind = "", _earlier_kind(files, kinds)
            if not any(name.startswith(f"{MODEL}/") for name in files):
                return None
        name, _, number = version_id.rpartition("-")
        return Version(
            REGISTRY,
            str(client.place),
            client.model_key(name),
            number,
            digest,
            kind,
            aliases=aliases_of(str(values.get("sys/stage", "none"))),
            compiled=neptune_links.compiled(found, client.key, client.place.project, version_id),
            tags=_tags(values),
        )


def complete(client: Client, version_id: str) -> Version:
    """A version.

    Raises:
        ModelkilnError: it is not complete, or in the trash.
    """
    found = read(client, version_id)
    if found is None:
        raise ModelkilnError(
            f"Neptune at {client.place}: {version_id} was never completed, or is in the trash; register it again"
        )
    return found


def aliases_of(stage: str) -> tuple[str, ...]:
    """What a version in a stage can be called: by our word for it, and by Neptune's."""
    ours = [alias for alias, each in STAGES.items() if each == stage]
    return tuple(sorted([*ours, stage])) if stage != "none" else ()


def stage_of(alias: str) -> str:
    """The stage that an alias stands for; a ModelkilnError lists those there are."""
    stage = STAGES.get(alias, alias)
    if stage not in OWN_STAGES:
        ours = [f"{alias} ({stage})" for alias, stage in STAGES.items()]
        raise ModelkilnError(
            f"alias {alias!r}: Neptune has stages instead, expected one of {', '.join([*ours, *OWN_STAGES])}"
        )
    return stage


def _row(entry: Any) -> Row:
    def value(name: str) -> str:
        try:
            return str(entry.get_attribute_value(name))
        except ValueError:  # this version has no such attribute
            return ""

    version_id = value("sys/id")
    return Row(version_id, int(version_id.rpartition("-")[2]), value("sys/stage"), value(DIGEST), value(STATUS))


def _earlier_kind(files: Iterable[str], kinds: Mapping[str, str]) -> str:
    """Trained or legacy, by the names of the files: the list that has what was compiled may be in any other model."""
    endings = {Path(name).suffix for name in files}
    if COMPILED_VERSIONS in kinds or endings & set(WEIGHTS_ENDINGS):
        return TRAINED
    return LEGACY if endings & set(COMPILED_ENDINGS) else TRAINED


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    tags = {name.removeprefix(LINEAGE): str(value) for name, value in values.items() if name.startswith(LINEAGE)}
    for stage in OWN_STAGES:
        if PREVIOUS + stage in values:
            tags |= {f"previous.{alias}": str(values[PREVIOUS + stage]) for alias in aliases_of(stage)}
    return tags
