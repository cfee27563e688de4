"""Neptune's official client: quiet, its errors on one line, and only what a model registry needs of it.

Everything is written in its synchronous mode. The asynchronous one only logs that a source file is missing, ends well
after a 400, and leaves a queue behind when it is killed.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import env
from modelkiln.errors import ModelkilnError
from modelkiln.registries.neptune.errors import said

STOP_SECONDS = 5  # given to the client's threads at the end; what they still do is of no interest
TEXT_LIMIT = 16384  # characters in a String: the client cuts what is longer, and only logs that


@dataclass(frozen=True)
class Place:
    """A project on a server."""

    address: str  # as the API token has it
    project: str  # WORKSPACE/PROJECT

    def __str__(self) -> str:
        return f"{self.address}/{self.project}"


@dataclass(frozen=True)
class Client:
    """What the functions below work on; from `connected`."""

    neptune: Any  # the module
    place: Place
    key: str  # the project's, with which the ids of its models begin

    def model_id(self, name: str) -> str:
        """The id of a model, by its key or by that id."""
        return f"{self.key}-{self.model_key(name)}"

    def model_key(self, name: str) -> str:
        """The key of a model, by it or by the model's id."""
        return name.removeprefix(f"{self.key}-")


def place(project: str | None) -> Place:
    """The project that is meant, on the server that the API token is for.

    Raises:
        ModelkilnError: none is, or there is no usable token.
    """
    named = project or env.neptune_project()
    if not named or not re.fullmatch(r"[^/\s]+/[^/\s]+", named):
        raise ModelkilnError(
            f"Neptune: the project is {named!r}, expected WORKSPACE/PROJECT; "
            "set NEPTUNE_PROJECT, or the option `project` of the registry"
        )
    try:
        address = json.loads(base64.b64decode(env.neptune_api_token()))["api_address"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise ModelkilnError(
            "Neptune: NEPTUNE_API_TOKEN is not set, or is no API token; copy yours from the server's web page"
        ) from None
    return Place(str(address).rstrip("/"), named)


@contextmanager
def connected(where: Place) -> Iterator[Client]:
    """A client for a project; within the block, what the user can fix comes out as one ModelkilnError.

    A server that fails or is gone is tried again for NEPTUNE_RETRIES_TIMEOUT seconds, by default 60; the last wait can
    make that 90.
    """
    try:
        import neptune
        from bravado.exception import BravadoConnectionError, BravadoTimeoutError, HTTPError
        from jwt.exceptions import PyJWTError
        from neptune.common.exceptions import NeptuneException
        from oauthlib.oauth2 import OAuth2Error
        from requests.exceptions import RequestException
    except ImportError as error:
        raise ModelkilnError(
            f"registry 'neptune' needs its extra: pip install 'modelkiln[neptune]' ({error})"
        ) from error
    for talkative in ("neptune", "neptune_no_prefix"):  # on stdout
        logging.getLogger(talkative).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", "Neptune's model registry has been deprecated")
    try:
        with _stopped(neptune.init_project(project=where.project, mode="read-only")) as project:
            key = str(project["sys/id"].fetch())
        yield Client(neptune, where, key)
    except (
        NeptuneException,
        HTTPError,
        BravadoConnectionError,
        BravadoTimeoutError,
        RequestException,
        OAuth2Error,
        PyJWTError,
        json.JSONDecodeError,
        OSError,
    ) as error:
        # The cause is left out: it may quote a header with the token.
        raise ModelkilnError(f"Neptune at {where}: {said(error)}") from None


@contextmanager
def model(client: Client, name: str) -> Iterator[Any]:
    """The model of that name, for reading; the client's ModelNotFound where there is none."""
    opened = client.neptune.init_model(with_id=client.model_id(name), project=client.place.project, mode="read-only")
    with _stopped(opened) as found:
        yield found


def create_model(client: Client, name: str) -> None:
    """Sees to it that there is a model of that name."""
    from neptune.exceptions import NeptuneModelKeyAlreadyExistsError

    key = client.model_key(name)
    if key != key.upper():
        raise ModelkilnError(
            f"Neptune at {client.place}: a model's key is uppercase, as {key.upper()!r}; found {key!r}"
        )
    try:
        with (
            env.neptune_data_folder(),
            _stopped(client.neptune.init_model(key=key, name=name, project=client.place.project, mode="sync")),
        ):
            pass
    except NeptuneModelKeyAlreadyExistsError:
        pass


@contextmanager
def version(client: Client, version_id: str) -> Iterator[Any]:
    """A version of a model, such as PROJ-KEY-3, for reading."""
    opened = client.neptune.init_model_version(with_id=version_id, project=client.place.project, mode="read-only")
    with _stopped(opened) as found:
        yield found


@contextmanager
def writable(client: Client, model_id: str, version_id: str | None) -> Iterator[Any]:
    """A version for writing: that one, or a new one of the model."""
    with env.neptune_data_folder():
        # Without `model` it would get the name "Untitled".
        opened = client.neptune.init_model_version(
            with_id=version_id, model=model_id, project=client.place.project, mode="sync"
        )
        with _stopped(opened) as found:
            yield found
            found.wait()


def attributes(container: Any) -> dict[str, str]:
    """The paths of all attributes, each with its type: File, Artifact, String and so on."""
    return {path: type(value).__name__ for path, value in _flat(container.get_structure())}


def values(container: Any) -> dict[str, Any]:
    """The values of all attributes that are no files, by their paths."""
    return dict(_flat(container.fetch()))


def file_size(container: Any, attribute: str) -> int:
    """How many bytes a File has. The client knows, but offers no public way to ask."""
    path = [part for part in attribute.split("/") if part]
    size = container._backend.get_file_attribute(container._id, container.container_type, path).size
    return int(size)


def tracked_file(container: Any, attribute: str, where: str) -> tuple[str, int | None]:
    """Where in S3 the file of an Artifact is, and its size. Never derived: files of equal bytes share an object.

    Tracking takes S3 paths for prefixes, so an Artifact for x lists x.data as well; the one of the attribute's own
    name counts.
    """
    listed = container[attribute].fetch_files_list()
    named = [file for file in listed if file.file_path.rsplit("/", 1)[-1] == attribute.rsplit("/", 1)[-1]]
    found = listed if len(listed) == 1 else named
    locations = {str(file.metadata.get("location")) for file in found}
    if len(found) != 1 or found[0].type != "S3" or not next(iter(locations)).startswith("s3://"):
        raise ModelkilnError(
            f"{where}: {attribute!r} tracks {len(listed)} files ({', '.join(sorted({f.type for f in listed}))}), "
            "expected one in S3"
        )
    return locations.pop(), found[0].size


def download(container: Any, attribute: str, dest: Path) -> None:
    """Writes the bytes of a File to `dest`. There are no checksums, and a connection that breaks leaves a part."""
    container[attribute].download(str(dest), progress_bar=False)


@contextmanager
def _stopped(container: Any) -> Iterator[Any]:
    """The container, whose threads end with the block.

    `stop` asks the server for the page's address, only to log it. With a server that is gone, that would take a minute,
    fail, and leave the container in a state in which the next fork of this process waits for ever. The thread that
    pings the server, which is of use to runs only, would die with a traceback when it meets a 401.
    """
    container.get_url = lambda: ""
    container.ping = lambda: None
    try:
        yield container
    finally:
        # Only its scratch files can fail now; all that matters has been written, or has failed before.
        with suppress(OSError):
            container.stop(seconds=STOP_SECONDS)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value
