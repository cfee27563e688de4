"""The errors of Neptune's client, which are pages for a notebook, on one line."""

from __future__ import annotations

import re

from modelkiln import env
from modelkiln.errors import one_line

LONGEST_MESSAGE = 400  # characters


def said(error: Exception) -> str:
    """What an error of the client says, without its banners, colours and advice, and without the API token."""
    message = _plain(error)
    token = env.neptune_api_token()
    return (message.replace(token, "…") if token else message)[:LONGEST_MESSAGE]


def _plain(error: Exception) -> str:
    from neptune.common.exceptions import (
        ClientHttpError,
        Forbidden,
        NeptuneConnectionLostException,
        NeptuneInvalidApiTokenException,
        Unauthorized,
    )
    from neptune.exceptions import MetadataContainerNotFound, ProjectNotFound

    if isinstance(error, NeptuneConnectionLostException):
        return f"can't be reached, or keeps failing: {one_line(error.cause)}"
    if isinstance(error, ClientHttpError):
        return f"refused with status {error.status}: {one_line(error.response)}"
    if isinstance(error, (Unauthorized, NeptuneInvalidApiTokenException)):
        return "401: the token in NEPTUNE_API_TOKEN is not, or no longer, accepted"
    if isinstance(error, Forbidden):
        return "403: the token in NEPTUNE_API_TOKEN has no permission for this project"
    if isinstance(error, ProjectNotFound):
        return "no such project, or none that this token may see"
    if isinstance(error, MetadataContainerNotFound):
        return f"no {type(error).__name__.removesuffix('NotFound')} {error.container_id.rsplit('/', 1)[-1]}"
    if isinstance(error, OSError) and error.strerror:
        return f"can't go on here: {error.strerror} ({error.filename or 'the temporary folder'})"
    plain = re.sub(r"\x1b\[[0-9;]*m|-{4,}\w*-*", "", str(error))
    return f"{type(error).__name__}: {one_line(plain)}"
