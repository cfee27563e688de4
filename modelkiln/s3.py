"""Single objects in S3, by their location; credentials, region and endpoint come from AWS_* and ~/.aws, as usual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelkiln.errors import ModelkilnError, one_line


def fetch(location: str, dest: Path) -> None:
    """Downloads an object to the file `dest`, in parts of constant size.

    Raises:
        ModelkilnError: no such object, no permission, or S3 can't be reached; nothing is left at `dest`.
    """
    bucket, key = _split(location)
    try:
        with _client(location) as client:
            client.download_file(bucket, key, str(dest))
    except BaseException:
        dest.unlink(missing_ok=True)
        raise


def store(path: Path, location: str) -> None:
    """Uploads a file as the object at `location`, in parts of constant size."""
    bucket, key = _split(location)
    with _client(location) as client:
        client.upload_file(str(path), bucket, key)


def _split(location: str) -> tuple[str, str]:
    parts = urlsplit(location, allow_fragments=False)
    # The key stands as it is, with a question mark in it too.
    key = location.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == location:
        raise ModelkilnError(f"{location!r}: expected s3://BUCKET/KEY")
    return parts.netloc, key


@contextmanager
def _client(location: str) -> Iterator[Any]:
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ModelkilnError(f"{location}: needs the extra: pip install 'modelkiln[s3]' ({error})") from error
    try:
        yield boto3.client("s3")
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise ModelkilnError(f"{location}: {one_line(error)}") from error
