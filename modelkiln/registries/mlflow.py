"""`mlflow`: an MLflow server, or its sqlite file in the project's folder, by the same client.

Tags of a version that modelkiln wrote: `content_digest`, `complete` ("true" once it is), and the lineage. MLflow has no
uniqueness constraint, so writers on one machine take turns by a lock, and of two with one digest the lower counts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from modelkiln import artifact, env
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import write_text
from modelkiln.progress import step
from modelkiln.registries import Ref, Registration, Version, locked

REGISTRY = "mlflow"
MODEL = "model"  # the artifact's folder in the run
SQLITE = "sqlite:///"
EMBEDDED = "sqlite:///registry/mlflow.db"  # relative to the project's folder


@dataclass(frozen=True)
class Options:
    """Which server."""

    tracking_uri: str | None = None  # None: $MLFLOW_TRACKING_URI, or else the project's embedded registry
    artifact_root: str | None = None  # folder for the embedded registry's files; None: the server knows where

    def __post_init__(self) -> None:
        if self.tracking_uri and "@" in urlsplit(self.tracking_uri).netloc:
            raise ValueError("tracking_uri holds credentials: they belong in MLFLOW_TRACKING_USERNAME and …_PASSWORD")


def resolve(ref: Ref, options: Options) -> Version:
    """See Registry.resolve."""
    with _client(options) as (client, uri):
        if ref.version:
            found = client.get_model_version(ref.name, ref.version)
        else:
            found = client.get_model_version_by_alias(ref.name, ref.alias)
        version = _version(found, uri)
    if found.tags.get("complete") != "true":
        raise ModelkilnError(f"{ref}: version {found.version} was never completed; register the artifact again")
    return version


def fetch(version: Version, dest: Path, options: Options) -> None:
    """See Registry.fetch."""
    with _client(options) as (client, _):
        run_id = client.get_model_version(version.name, version.version).run_id
        with step(f"fetching {version.name}/{version.version}"):
            _download(client, run_id, dest)


def find(name: str, digest: str, options: Options) -> Version | None:
    """See Registry.find."""
    with _client(options) as (client, uri):
        complete = [found for found in _search(client, name, digest) if found.tags.get("complete") == "true"]
        return _version(complete[0], uri) if complete else None


def register(registration: Registration, options: Options) -> Version:
    """See Registry.register."""
    with locked(_lock_file(options)):
        if existing := find(registration.name, registration.digest, options):
            return existing
        with _client(options) as (client, uri):
            leftovers = _search(client, registration.name, registration.digest)
            version = leftovers[0] if leftovers else _create(client, registration, options)
            with step(f"uploading to {_public(uri)}"):
                _upload(client, version.run_id, registration)
            with (
                step("verifying what the registry holds"),
                tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch,
            ):
                _download(client, version.run_id, Path(scratch))
                artifact.verify(Path(scratch), registration.digest)
            if leftovers:  # of a run that broke off: the lineage is this one's
                client.update_model_version(version.name, version.version, registration.card)
                for key, value in registration.tags.items():
                    client.set_model_version_tag(version.name, version.version, key, value)
            client.set_model_version_tag(version.name, version.version, "complete", "true")
            client.set_terminated(version.run_id)
            return _version(version, uri)


def set_alias(version: Version, alias: str, options: Options) -> None:
    """See Registry.set_alias."""
    with _client(options) as (client, _):
        client.set_registered_model_alias(version.name, alias, version.version)


def _create(client: Any, registration: Registration, options: Options) -> Any:
    """A version that is not complete, over a run that has no files yet."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(registration.project)
    if experiment:
        experiment_id = experiment.experiment_id
    else:
        root = Path(options.artifact_root).resolve().as_uri() if options.artifact_root else None
        experiment_id = client.create_experiment(registration.project, artifact_location=root)
    run = client.create_run(experiment_id, run_name=registration.name, tags=dict(registration.tags))
    try:
        client.create_registered_model(registration.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        registration.name,
        source=f"runs:/{run.info.run_id}/{MODEL}",
        run_id=run.info.run_id,
        tags={**registration.tags, "content_digest": registration.digest, "complete": "false"},
        description=registration.card,
    )


def _upload(client: Any, run_id: str, registration: Registration) -> None:
    client.log_artifacts(run_id, str(registration.folder), MODEL)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        for name, text in registration.extras.items():
            write_text(Path(scratch) / name, text)
        client.log_artifacts(run_id, scratch)


def _download(client: Any, run_id: str, dest: Path) -> None:
    # MLflow puts the folder itself into its destination.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=dest.parent) as scratch:
        got = Path(client.download_artifacts(run_id, MODEL, scratch))
        for entry in list(got.iterdir()):
            os.replace(entry, dest / entry.name)


def _search(client: Any, name: str, digest: str) -> list[Any]:
    found = client.search_model_versions(f"name = '{name}' and tags.content_digest = '{digest}'")
    return sorted(found, key=lambda version: int(version.version))


def _version(found: Any, uri: str) -> Version:
    digest = found.tags.get("content_digest")
    if not digest or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ModelkilnError(
            f"{REGISTRY}:{found.name}/{found.version} was not registered by modelkiln: it has no digest"
        )
    return Version(REGISTRY, _public(uri), found.name, str(found.version), digest)


def _uri(options: Options) -> str:
    uri = options.tracking_uri or env.mlflow_tracking_uri() or EMBEDDED
    if uri == EMBEDDED and not options.artifact_root and not Path("registry/mlflow.db").exists():
        raise ModelkilnError(
            "no MLflow registry: set MLFLOW_TRACKING_URI to your server, "
            "or run this in a project's folder after `make repro`"
        )
    return uri


def _public(uri: str) -> str:
    """The address without a user and a password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else uri


@contextmanager
def _client(options: Options) -> Iterator[tuple[Any, str]]:
    """MLflow's client and its address; what the user can fix comes out as a ModelkilnError."""
    uri = _uri(options)
    env.keep_libraries_quiet()
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise ModelkilnError(f"registry 'mlflow' needs its extra: pip install 'modelkiln[mlflow]' ({error})") from error
    for talkative in ("alembic", "mlflow.store.db.utils", "mlflow.tracking"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    address = uri
    try:
        if uri.startswith(SQLITE):
            # MLflow remembers what it opened by its address, which therefore may not depend on the working folder.
            database = Path(uri.removeprefix(SQLITE)).resolve()
            database.parent.mkdir(parents=True, exist_ok=True)
            address = f"{SQLITE}{database}"
        yield MlflowClient(tracking_uri=address, registry_uri=address), uri
    except (MlflowException, SQLAlchemyError, OSError) as error:
        message = one_line(error).replace(address, _public(uri))
        raise ModelkilnError(f"MLflow at {_public(uri)}: {message}") from None  # the cause may quote the password


def _lock_file(options: Options) -> Path:
    """What the writers of one registry lock: beside its database, or, for a server, in the user's cache."""
    uri = _uri(options)
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE)).resolve().parent / ".lock"
    return env.cache_folder() / "locks" / hashlib.sha256(uri.encode()).hexdigest()[:16]
