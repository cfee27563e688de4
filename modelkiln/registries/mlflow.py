"""`mlflow`: an MLflow server, or its sqlite file in the project's folder, by the same client.

Tags of a version that modelkiln wrote: `kind`, `content_digest`, `complete` ("true" once it is), and the lineage.
MLflow has no uniqueness constraint, so writers on one machine take turns by a lock, and of two with one digest the
lower counts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from modelkiln import contents, env
from modelkiln.contents import COMPILED, MODEL
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import relative_files, write_text
from modelkiln.progress import step
from modelkiln.registries import Ref, Registration, Version, locked

REGISTRY = "mlflow"
LOGGED = "model"  # the folder in the run that MLflow takes for the model
DATA = f"{LOGGED}/data"  # and in it the model's files, beside what MLflow wants to know of them
LINK = "compiled/"  # tags of a version that others were compiled from: their references, and as value the digests
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
    if not _is_complete(found):
        raise ModelkilnError(f"{ref}: version {found.version} was never completed; register it again")
    return version


def versions(name: str, options: Options) -> list[Version]:
    """See Registry.versions."""
    with _client(options) as (client, uri):
        aliases: dict[str, list[str]] = {}
        for alias, number in client.get_registered_model(name).aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        # A search gives versions without their aliases.
        return [
            replace(_version(found, uri), aliases=tuple(sorted(aliases.get(str(found.version), []))))
            for found in _search(client, f"name = '{name}'")
            if _is_complete(found)
        ]


def find(name: str, digest: str, options: Options) -> Version | None:
    """See Registry.find."""
    with _client(options) as (client, uri):
        complete = [found for found in _search(client, _same(name, digest)) if _is_complete(found)]
        return _version(complete[0], uri) if complete else None


def fetch(version: Version, dest: Path, options: Options, only: Sequence[str] = ()) -> None:
    """See Registry.fetch."""
    with _client(options) as (client, _):
        run_id = client.get_model_version(version.name, version.version).run_id
        with step(f"fetching {version.ref}"):
            _download(client, run_id, dest, only)


def register(registration: Registration, options: Options) -> Version:
    """See Registry.register."""
    with locked(_lock_file(options)):
        if existing := find(registration.name, registration.digest, options):
            return existing
        with _client(options) as (client, uri):
            leftovers = _search(client, _same(registration.name, registration.digest))
            version = leftovers[0] if leftovers else _create(client, registration, options)
            with step(f"uploading to {_public(uri)}"):
                _upload(client, version.run_id, registration)
            with (
                step("verifying what the registry holds"),
                tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch,
            ):
                _download(client, version.run_id, Path(scratch))
                contents.verify(Path(scratch), registration.kind, registration.digest)
            if leftovers:  # of a run that broke off: the lineage is this one's
                client.update_model_version(version.name, version.version, registration.card)
                for key, value in registration.tags.items():
                    client.set_model_version_tag(version.name, version.version, key, value)
            client.set_model_version_tag(version.name, version.version, "complete", "true")
            client.set_terminated(version.run_id)
            return _version(client.get_model_version(version.name, version.version), uri)


def set_alias(version: Version, alias: str, options: Options) -> None:
    """See Registry.set_alias."""
    with locked(_lock_file(options)), _client(options) as (client, _):
        before = client.get_registered_model(version.name).aliases.get(alias)
        if before is not None and str(before) != version.version:
            client.set_model_version_tag(version.name, version.version, f"previous.{alias}", str(before))
        client.set_registered_model_alias(version.name, alias, version.version)


def link(source: Version, compiled: Version, options: Options) -> None:
    """See Registry.link. A tag for each, so that of two writers neither overwrites the other's."""
    with _client(options) as (client, _):
        client.set_model_version_tag(source.name, source.version, f"{LINK}{compiled.ref}", compiled.digest)


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
    own = {"kind": registration.kind, "content_digest": registration.digest, "complete": "false"}
    return client.create_model_version(
        registration.name,
        source=f"runs:/{run.info.run_id}/{LOGGED}",
        run_id=run.info.run_id,
        tags={**registration.tags, **own},
        description=registration.card,
    )


def _upload(client: Any, run_id: str, registration: Registration) -> None:
    client.log_artifacts(run_id, str(registration.model), DATA)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        for name, text in registration.extras.items():
            write_text(Path(scratch) / name, text)
        client.log_artifacts(run_id, scratch)


def _download(client: Any, run_id: str, dest: Path, only: Sequence[str] = ()) -> None:
    """Puts a run's files into `dest`, laid out as modelkiln.contents says."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=dest.parent) as scratch:
        if only:
            held = _held(client, run_id)
            for name in only:
                if _place(name) in held:
                    client.download_artifacts(run_id, _place(name), scratch)
        else:
            client.download_artifacts(run_id, "", scratch)
        for name in relative_files(Path(scratch)):
            inside = name.removeprefix(f"{DATA}/") if name.startswith(f"{DATA}/") else None
            if inside is None and name.startswith(f"{LOGGED}/"):
                continue  # MLflow's own description
            path = dest / (f"{MODEL}/{inside}" if inside else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(scratch) / name, path)


def _place(name: str) -> str:
    """Where a run has the file that modelkiln.contents calls `name`."""
    return f"{DATA}/{name.removeprefix(f'{MODEL}/')}" if name.startswith(f"{MODEL}/") else name


def _held(client: Any, run_id: str) -> set[str]:
    """The paths of a run's files."""
    found: set[str] = set()
    folders = [""]
    while folders:
        for entry in client.list_artifacts(run_id, folders.pop()):
            folders += [entry.path] if entry.is_dir else []
            found |= set() if entry.is_dir else {entry.path}
    return found


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


def _version(found: Any, uri: str) -> Version:
    digest = found.tags.get("content_digest")
    if not digest or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ModelkilnError(
            f"{REGISTRY}:{found.name}/{found.version} was not registered by modelkiln: it has no digest"
        )
    return Version(
        REGISTRY,
        _public(uri),
        found.name,
        str(found.version),
        digest,
        found.tags.get("kind", COMPILED),
        aliases=tuple(sorted(found.aliases)),
        compiled=tuple(sorted(key.removeprefix(LINK) for key in found.tags if key.startswith(LINK))),
        tags=dict(found.tags),
    )


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
