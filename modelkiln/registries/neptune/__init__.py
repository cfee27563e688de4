"""`neptune`: the model registry of a self-hosted Neptune server, in the layout that its users have.

A name is a model's key, and a version's number is the end of its id: `neptune:KEYB/3` is PROJ-KEYB-3. Aliases are
stages: `champion` is production, `challenger` is staging. Neptune has no uniqueness constraint, so writers on one
machine take turns by a lock, and of two versions with one digest the lower counts.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelkiln import env
from modelkiln.contents import MODEL
from modelkiln.errors import ModelkilnError
from modelkiln.files import relative_files
from modelkiln.locking import locked
from modelkiln.progress import step
from modelkiln.registries import Ref, Registration, Version, require_still
from modelkiln.registries.neptune import client as neptune_client
from modelkiln.registries.neptune import files as neptune_files
from modelkiln.registries.neptune import links as neptune_links
from modelkiln.registries.neptune import versions as neptune_versions
from modelkiln.registries.neptune.client import Client, Place, connected
from modelkiln.registries.neptune.versions import COMPLETE, DIGEST, KIND, LINEAGE, PREVIOUS, PROJECT, STATUS


@dataclass(frozen=True)
class Options:
    """Which project, and where the model's files go. The server and the key to it are in NEPTUNE_API_TOKEN."""

    project: str | None = None  # WORKSPACE/PROJECT; None: $NEPTUNE_PROJECT
    s3: str | None = None  # s3://BUCKET/ROOT: the model's files go there, and Neptune tracks them; None: into Neptune

    def __post_init__(self) -> None:
        if self.project is not None and not re.fullmatch(r"[^/\s]+/[^/\s]+", self.project):
            raise ValueError(f"project: expected WORKSPACE/PROJECT, found {self.project!r}")
        if self.s3 is not None and not re.fullmatch(r"s3://[^/*?#\s]+(/[^/*?#\s]+)*/?", self.s3):
            raise ValueError(f"s3: expected s3://BUCKET/ROOT, found {self.s3!r}")


def unheeded(options: Options) -> str | None:
    """See Registry.unheeded."""
    named = env.neptune_project()
    return "NEPTUNE_PROJECT" if options.project and named and named != options.project else None


def resolve(ref: Ref, options: Options) -> Version:
    """See Registry.resolve. Of several versions in a stage, the highest counts."""
    with connected(_place(options)) as client:
        if ref.version:
            return neptune_versions.complete(client, f"{client.model_id(ref.name)}-{ref.version}")
        stage = neptune_versions.stage_of(str(ref.alias))
        for row in reversed(neptune_versions.rows(client, ref.name)):
            if row.stage == stage and (found := neptune_versions.read(client, row.id)):
                return found
    raise ModelkilnError(f"{ref}: no complete version of {ref.name} is in the stage {stage}")


def versions(name: str, options: Options) -> list[Version]:
    """See Registry.versions."""
    with connected(_place(options)) as client:
        read = [neptune_versions.read(client, row.id) for row in neptune_versions.rows(client, name)]
        return [version for version in read if version]


def find(name: str, digest: str, options: Options) -> Version | None:
    """See Registry.find."""
    with connected(_place(options)) as client:
        return _find(client, name, digest)


def fetch(version: Version, dest: Path, options: Options, only: Sequence[str] = ()) -> None:
    """See Registry.fetch."""
    with connected(_place(options)) as client, step(f"fetching {version.ref}"):
        version_id = f"{client.model_id(version.name)}-{version.version}"
        with neptune_client.version(client, version_id) as found:
            kinds = neptune_client.attributes(found)
            if version.digest:
                mapping = neptune_files.own_places(kinds, version.ref)
            else:
                mapping = neptune_files.earlier_places(found, kinds, version.ref)
            neptune_files.download(found, dest, version.ref, mapping, only)
            if not version.digest:
                neptune_files.check_sizes(found, dest, version.ref, mapping)


def register(registration: Registration, options: Options) -> Version:
    """See Registry.register. A version that was created and never written to stays empty, and is not used again."""
    place = _place(options)
    with locked(_lock_file(place)), connected(place) as client:
        if existing := _find(client, registration.name, registration.digest):
            return existing
        neptune_client.create_model(client, registration.name)
        with step(f"uploading to {place}"):
            version_id = _upload(client, registration, options)
        with step("verifying what the registry holds"):
            _verify(client, version_id, registration)
        with neptune_client.writable(client, client.model_id(registration.name), version_id) as version:
            version[STATUS] = COMPLETE
        return neptune_versions.complete(client, version_id)


def set_alias(version: Version, alias: str, options: Options, still: str | None = None) -> None:
    """See Registry.set_alias. A version has one stage; the one that was in that stage before is archived.

    Wherever this breaks off, the alias stands for what it stood for before or for the new version; see resolve.
    """
    stage = neptune_versions.stage_of(alias)
    place = _place(options)
    with locked(_lock_file(place)), connected(place) as client:
        model_id = client.model_id(version.name)
        there = [row for row in neptune_versions.rows(client, version.name) if row.stage == stage]
        require_still(version.name, alias, str(there[-1].number) if there else None, still)
        before = [row for row in there if str(row.number) != version.version]
        alone = stage != "archived"  # any number may be
        if before == there:
            with neptune_client.writable(client, model_id, f"{model_id}-{version.version}") as promoted:
                if before and alone:
                    promoted[PREVIOUS + stage] = str(before[-1].number)
                promoted.change_stage(stage)
        for row in before if alone else []:
            with neptune_client.writable(client, model_id, row.id) as replaced:
                replaced.change_stage("archived")


def link(source: Version, compiled: Version, options: Options) -> None:
    """See Registry.link."""
    place = _place(options)
    with locked(_lock_file(place)), connected(place) as client:
        if compiled.registry == neptune_versions.REGISTRY and compiled.location == str(place):
            model_id = client.model_id(compiled.name)
            entry = neptune_links.entry(place.project, model_id, f"{model_id}-{compiled.version}")
        else:
            entry = neptune_links.entry(compiled.location, compiled.name, compiled.ref)
        model_id = client.model_id(source.name)
        with neptune_client.writable(client, model_id, f"{model_id}-{source.version}") as found:
            neptune_links.add(found, compiled.ref, entry, source.ref)


def _find(client: Client, name: str, digest: str) -> Version | None:
    same = neptune_versions.same(client, name, digest)
    complete = [row for row in same if row.status == COMPLETE]
    return neptune_versions.read(client, complete[0].id) if complete else None


def _upload(client: Client, registration: Registration, options: Options) -> str:
    """The id of a version that holds everything, and is not complete: a new one, or what a run left that broke off."""
    if long := [name for name, value in registration.tags.items() if len(value) > neptune_client.TEXT_LIMIT]:
        raise ModelkilnError(
            f"Neptune: {', '.join(long)}: longer than the {neptune_client.TEXT_LIMIT} characters it takes"
        )
    model_id = client.model_id(registration.name)
    leftovers = neptune_versions.same(client, registration.name, registration.digest)
    with neptune_client.writable(client, model_id, leftovers[0].id if leftovers else None) as version:
        version_id = str(version["sys/id"].fetch())
        # The digest first, so that the next run finds a leftover, and no reader takes it for another system's version.
        version[DIGEST] = registration.digest
        version[STATUS] = "uploading"
        version[KIND] = registration.kind
        version[PROJECT] = registration.project
        for name, value in registration.tags.items():
            version[LINEAGE + name] = value
        neptune_files.upload(
            version,
            registration.model,
            registration.extras,
            {"kind": registration.kind, "digest": registration.digest},
            f"{options.s3.rstrip('/')}/{client.place.project}/{model_id}/{version_id}" if options.s3 else None,
        )
    return version_id


def _verify(client: Client, version_id: str, registration: Registration) -> None:
    with (
        neptune_client.version(client, version_id) as version,
        tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch,
    ):
        mapping = neptune_files.own_places(neptune_client.attributes(version), version_id)
        expected = {f"{MODEL}/{name}" for name in relative_files(registration.model)} | set(registration.extras)
        if set(mapping.values()) != expected:
            odd = sorted(set(mapping.values()) ^ expected)
            raise ModelkilnError(f"Neptune: {version_id} holds other files than were sent: {', '.join(odd[:5])}")
        neptune_files.download(version, Path(scratch), version_id, mapping)
        neptune_files.check_whole(Path(scratch), registration.kind, registration.digest, registration.extras)


def _place(options: Options) -> Place:
    return neptune_client.place(options.project)


def _lock_file(place: Place) -> Path:
    return env.cache_folder() / "locks" / hashlib.sha256(str(place).encode()).hexdigest()[:16]
