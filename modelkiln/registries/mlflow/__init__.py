"""`mlflow`: an MLflow server, or its sqlite file in the project's folder, by the same client.

Tags of a version that modelkiln wrote: `kind`, `content_digest`, `complete` ("true" once it is), and the lineage.

MLflow has no uniqueness constraint. Writers on one machine take turns by a lock; on several machines each of them
looks, after it has created a version, for the lowest one of that digest, and all fill that one with the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln import artifact
from modelkiln.contents import COMPILED
from modelkiln.errors import ModelkilnError
from modelkiln.locking import locked
from modelkiln.progress import step
from modelkiln.registries import Ref, Registration, Version, require_still
from modelkiln.registries.mlflow import files as mlflow_files
from modelkiln.registries.mlflow import held as mlflow_held
from modelkiln.registries.mlflow import model as mlflow_model
from modelkiln.registries.mlflow.client import Options, connected, lock_file, unheeded

__all__ = ["Options", "fetch", "find", "link", "register", "resolve", "set_alias", "unheeded", "versions"]

REGISTRY = "mlflow"
LINK = "compiled."  # tags of a version that others were compiled from, a tag for each


def resolve(ref: Ref, options: Options) -> Version:
    """See Registry.resolve."""
    with connected(options) as (client, location):
        if ref.version:
            found = client.get_model_version(ref.name, ref.version)
        else:
            found = client.get_model_version_by_alias(ref.name, ref.alias)
        return _complete(found, location)


def versions(name: str, options: Options) -> list[Version]:
    """See Registry.versions. Of two with one digest, which nothing here makes, the lower counts."""
    with connected(options) as (client, location):
        aliases: dict[str, list[str]] = {}
        for alias, number in client.get_registered_model(name).aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        known: dict[str, Version] = {}
        for found in _search(client, f"name = '{name}'"):
            if _is_complete(found):
                # A search gives versions without their aliases.
                named = tuple(sorted(aliases.get(str(found.version), [])))
                version = replace(_version(found, location), aliases=named)
                known.setdefault(version.digest, version)
        return list(known.values())


def find(name: str, digest: str, options: Options) -> Version | None:
    """See Registry.find."""
    with connected(options) as (client, location):
        complete = [found for found in _search(client, _same(name, digest)) if _is_complete(found)]
        return _version(complete[0], location) if complete else None


def fetch(version: Version, dest: Path, options: Options, only: Sequence[str] = ()) -> None:
    """See Registry.fetch."""
    with connected(options) as (client, _):
        run_id = client.get_model_version(version.name, version.version).run_id
        mlflow_files.require_place(client, run_id, options)
        with step(f"fetching {version.ref}"):
            mlflow_files.download(client, run_id, dest, only)


def register(registration: Registration, options: Options) -> Version:
    """See Registry.register."""
    mlflow_files.check_names(registration.model)
    with connected(options) as (client, location), locked(lock_file(options)):
        there = mlflow_held.with_runs(client, _search(client, _same(registration.name, registration.digest)))
        if not there:
            _create(client, registration, options)
            there = mlflow_held.with_runs(client, _search(client, _same(registration.name, registration.digest)))
        version = next((found for found in there if _is_complete(found)), there[0])
        mlflow_files.require_place(client, version.run_id, options)
        if not _is_complete(version) or not mlflow_held.holds(client, version, registration):
            with step(f"uploading {mlflow_files.amount(registration.model)} to {location}"):
                mlflow_files.upload(client, version.run_id, registration.model, _beside(registration))
            with (
                step("verifying what the registry holds"),
                tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch,
            ):
                mlflow_files.download(client, version.run_id, Path(scratch))
                mlflow_held.verify(Path(scratch), registration)
            version = _finish(client, version, registration)
            _clear(client, version, there)
        return _version(version, location)


def set_alias(version: Version, alias: str, options: Options, still: str | None = None) -> None:
    """See Registry.set_alias."""
    with connected(options) as (client, location), locked(lock_file(options)):
        _complete(client.get_model_version(version.name, version.version), location)
        before = client.get_registered_model(version.name).aliases.get(alias)
        require_still(version.name, alias, None if before is None else str(before), still)
        if before is not None and str(before) != version.version:
            _put(client.set_model_version_tag, version.name, version.version, f"previous.{alias}", str(before))
        _put(client.set_registered_model_alias, version.name, alias, version.version)


def link(source: Version, compiled: Version, options: Options) -> None:
    """See Registry.link. A tag for each, so that of two writers neither overwrites the other's."""
    # The reference is the value: as a part of the key it could be too long, and hold what no key may.
    key = LINK + hashlib.sha256(compiled.ref.encode()).hexdigest()[:16]
    with connected(options) as (client, _):
        _put(client.set_model_version_tag, source.name, source.version, key, compiled.ref)


def _put(setter: Callable[..., None], *values: str) -> None:
    """Sets a tag or an alias. Of two machines that set one for the first time at once, the server refuses one."""
    from mlflow.exceptions import MlflowException

    try:
        setter(*values)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        setter(*values)  # now it is there, and is set to what it has to be


def _create(client: Any, registration: Registration, options: Options) -> None:
    """A version that is not complete, over a run that has no files yet."""
    experiment_id = _experiment(client, registration.project, options)
    own = {"kind": registration.kind, "content_digest": registration.digest, "complete": "false"}
    tags = {**registration.tags, **own}
    # A run that a killed upload left without a version is as good as a new one.
    left = _unfinished_runs(client, experiment_id, registration.name, registration.digest)
    run = left[0] if left else client.create_run(experiment_id, run_name=registration.name, tags=tags)
    with _unless_it_exists():
        client.create_registered_model(registration.name)
    client.create_model_version(
        registration.name,
        source=f"runs:/{run.info.run_id}/{mlflow_files.LOGGED}",
        run_id=run.info.run_id,
        tags=tags,
        description=registration.card,
    )


def _experiment(client: Any, project: str, options: Options) -> str:
    """The id of the experiment that has the project's name."""
    if (experiment := client.get_experiment_by_name(project)) is None:
        root = Path(options.artifact_root).resolve().as_uri() if options.artifact_root else None
        with _unless_it_exists():
            client.create_experiment(project, artifact_location=root)
        experiment = client.get_experiment_by_name(project)
    return str(experiment.experiment_id)


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    """For what another writer may have created a moment ago, or we, though the server's answer got lost."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _beside(registration: Registration) -> dict[str, str]:
    """The texts that go beside the model's files."""
    if registration.kind != COMPILED:
        return dict(registration.extras)
    described = mlflow_model.describe(artifact.read_manifest(registration.model))
    return {**registration.extras, **{f"{mlflow_files.LOGGED}/{name}": text for name, text in described.items()}}


def _finish(client: Any, version: Any, registration: Registration) -> Any:
    """The version, complete, and with the lineage of the upload that completed it."""
    name, number = version.name, version.version
    now = client.get_model_version(name, number)
    if _is_complete(now):  # by another machine, since we looked
        return now
    if now.description != registration.card:
        client.update_model_version(name, number, registration.card)
    for key, value in registration.tags.items():
        if now.tags.get(key) != value:
            _put(client.set_model_version_tag, name, number, key, value)
    client.set_terminated(version.run_id)
    _put(client.set_model_version_tag, name, number, "complete", "true")
    return client.get_model_version(name, number)


def _clear(client: Any, version: Any, there: Sequence[Any]) -> None:
    """Deletes what lost answers and other machines left of the same digest, none of which any reader sees."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # a user who may not delete leaves it there
        for found in there:
            if str(found.version) != str(version.version) and not _is_complete(found):
                client.delete_model_version(found.name, found.version)
        experiment_id = client.get_run(version.run_id).info.experiment_id
        for run in _unfinished_runs(client, experiment_id, version.name, version.tags["content_digest"]):
            if run.info.run_id != version.run_id:
                client.delete_run(run.info.run_id)


def _unfinished_runs(client: Any, experiment_id: str, name: str, digest: str) -> list[Any]:
    condition = f"attributes.status = 'RUNNING' and attributes.run_name = '{name}' and tags.content_digest = '{digest}'"
    return list(client.search_runs([experiment_id], condition, order_by=["attributes.start_time"]))


def _same(name: str, digest: str) -> str:
    return f"name = '{name}' and tags.content_digest = '{digest}'"


def _search(client: Any, condition: str) -> list[Any]:
    """All versions for which the condition holds, oldest first."""
    found: list[Any] = []
    page = client.search_model_versions(condition)
    found += page
    while page.token:
        page = client.search_model_versions(condition, page_token=page.token)
        found += page
    return sorted(found, key=lambda version: int(version.version))


def _is_complete(found: Any) -> bool:
    return bool(found.tags.get("complete") == "true")


def _complete(found: Any, location: str) -> Version:
    """The version, which has to be complete."""
    version = _version(found, location)
    if not _is_complete(found):
        raise ModelkilnError(f"{version.ref} was never completed; register it again")
    return version


def _version(found: Any, location: str) -> Version:
    digest = found.tags.get("content_digest")
    if not digest or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ModelkilnError(
            f"{REGISTRY}:{found.name}/{found.version} was not registered by modelkiln: it has no digest"
        )
    return Version(
        REGISTRY,
        location,
        found.name,
        str(found.version),
        digest,
        found.tags.get("kind", COMPILED),
        aliases=tuple(sorted(found.aliases)),
        compiled=tuple(sorted(value for key, value in found.tags.items() if key.startswith(LINK))),
        tags=dict(found.tags),
    )
