"""MLflow's client: which server it talks to, and what its errors become."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from modelkiln import env
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import staged_file
from modelkiln.locking import locked

SQLITE = "sqlite:///"
UNSAFE = "%?#"  # mean something else in the addresses that MLflow's client makes of names
EMBEDDED = "sqlite:///registry/mlflow.db"  # relative to the project's folder
WHAT_TO_DO = {  # by the status
    401: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    403: "this user may not do it: ask whoever runs the server",
}
WHAT_TO_DO_ABOUT = {  # by what is said
    "No space left on device": "make room, and run it again",
    "database or disk is full": "make room, and run it again",
    "No module named": "install what it needs, such as psycopg2-binary for postgresql://",
    "Invalid Host header": "the server answers to other names only: use one, or start it with --allowed-hosts",
    "Max retries exceeded": "the server is down or fails: run it again when it is back",
}


@dataclass(frozen=True)
class Options:
    """Which server."""

    tracking_uri: str | None = None  # None: $MLFLOW_TRACKING_URI, or else the project's embedded registry
    # Folder for the embedded registry's files, or one that a server and all machines share; None: as the server has it.
    artifact_root: str | None = None

    def __post_init__(self) -> None:
        if self.tracking_uri and "@" in urlsplit(self.tracking_uri).netloc:
            raise ValueError("tracking_uri holds credentials: they belong in MLFLOW_TRACKING_USERNAME and …_PASSWORD")


@contextmanager
def connected(options: Options) -> Iterator[tuple[Any, str]]:
    """MLflow's client, and the server's public address; what the user can fix comes out as a ModelkilnError."""
    uri = _uri(options)
    env.keep_libraries_quiet()
    env.bound_mlflow_retries()
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise ModelkilnError(f"registry 'mlflow' needs its extra: pip install 'modelkiln[mlflow]' ({error})") from error
    for talkative in ("alembic", "mlflow.store", "mlflow.tracking", "urllib3.connectionpool"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    address = uri
    try:
        if uri.startswith(SQLITE):
            # MLflow remembers what it opened by its address, which therefore may not depend on the working folder.
            database = Path(uri.removeprefix(SQLITE)).resolve()
            if odd := set(UNSAFE) & set(str(database)):
                raise ModelkilnError(
                    f"{database}: MLflow can't open a database in a folder with {' '.join(sorted(odd))} in its name; "
                    "move the project, or name another place: upload.options.tracking_uri"
                )
            database.parent.mkdir(parents=True, exist_ok=True)
            if not _is_made(database):
                _make(database, lock_file(options))
            address = f"{SQLITE}{database}"
        yield MlflowClient(tracking_uri=address, registry_uri=address), public(uri)
    except Exception as error:
        # ImportError: a database's driver; RecursionError: folders without end.
        known = (MlflowException, SQLAlchemyError, HTTPError, ImportError, OSError, RecursionError)
        # A bucket that the server names needs a library of its own, which need not be there.
        if not isinstance(error, known) and type(error).__module__.partition(".")[0] not in ("botocore", "boto3"):
            raise
        # No cause: it may quote the password.
        raise ModelkilnError(f"MLflow at {public(uri)}: {_explain(error, address, uri)}") from None


def _is_made(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def _make(database: Path, lock: Path) -> None:
    """A new database, with all its tables or none: MLflow makes them in many steps, and can't take that up half-way."""
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with locked(lock):
        if not _is_made(database):  # nor has another process made it meanwhile
            with staged_file(database) as partial:
                SqlAlchemyStore(f"{SQLITE}{partial}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()


def public(uri: str) -> str:
    """The address without a user and a password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else uri


def lock_file(options: Options) -> Path:
    """What the writers of one registry lock: beside its database, or, for a server, in the user's cache."""
    uri = _uri(options)
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE)).resolve().parent / ".lock"
    return env.cache_folder() / "locks" / hashlib.sha256(uri.encode()).hexdigest()[:16]


def _uri(options: Options) -> str:
    uri = options.tracking_uri or env.mlflow_tracking_uri() or EMBEDDED
    if uri == EMBEDDED and not options.artifact_root and not Path("registry/mlflow.db").exists():
        raise ModelkilnError(
            "no MLflow registry: set MLFLOW_TRACKING_URI to your server, "
            "or run this in a project's folder after `make repro`"
        )
    return uri


def unheeded(options: Options) -> str | None:
    """See Registry.unheeded."""
    named = env.mlflow_tracking_uri()
    return "MLFLOW_TRACKING_URI" if options.tracking_uri and named and _whole(named) != _whole(_uri(options)) else None


def _whole(uri: str) -> str:
    """The same for the same registry, wherever this runs."""
    return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).resolve()}" if uri.startswith(SQLITE) else uri.rstrip("/")


def _explain(error: Exception, address: str, uri: str) -> str:
    """What went wrong, on one line, and what to do about it; a server that quotes the password is not repeated."""
    said = one_line(error).replace(address, public(uri))
    for secret in _secrets(uri):
        said = said.replace(secret, "…")
    about = next((hint for sign, hint in WHAT_TO_DO_ABOUT.items() if sign in said), "")
    hint = about or WHAT_TO_DO.get(_status(error), "")
    return f"{said}; {hint}" if hint else said


def _status(error: Any) -> int:
    """The HTTP status that an error of MLflow or of requests is about; 0: none."""
    if hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _secrets(uri: str) -> list[str]:
    """What must not be repeated: passwords and tokens, also as they stand in a header."""
    parts = urlsplit(uri)
    pairs = [*env.mlflow_credentials(), (unquote(parts.username or ""), unquote(parts.password or ""))]
    found = [parts.password or ""]
    for user, secret in pairs:
        found += [secret, base64.b64encode(f"{user}:{secret}".encode()).decode()] if secret else []
    return sorted({secret for secret in found if secret}, key=len, reverse=True)
