"""Single objects in S3, by their location; credentials, region and endpoint come from AWS_* and ~/.aws, as usual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line

# Of a server that is down or silent the user hears within a minute, and not within the client's own five.
CONNECT_SECONDS = 5
READ_SECONDS = 20
ATTEMPTS = 3
# Parts that wait for the disk are kept in memory; by default that may be 256 MB.
PART = 1 << 20  # bytes
WAITING_PARTS = 16
GONE = {"404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion"}


class Unreachable(ModelkilnError):  # noqa: N818
    """S3 refused or can't be reached, so nothing is known of the object; a later try may find it."""


def fetch(location: str, dest: Path) -> None:
    """Downloads an object to the file `dest`, in parts of constant size.

    Raises:
        ModelkilnError: no such object; nothing is left at `dest`.
        Unreachable: no permission, no credentials, or no server that answers; likewise.
    """
    bucket, key = _split(location)
    try:
        with _client(location) as client:
            client.download_file(bucket, key, str(dest), Config=_transfer())
    except BaseException:
        dest.unlink(missing_ok=True)
        raise


def store(path: Path, location: str) -> None:
    """Uploads a file as the object at `location`, in parts of constant size."""
    bucket, key = _split(location)
    with _client(location) as client:
        client.upload_file(str(path), bucket, key, Config=_transfer())


def etag(location: str) -> str:
    """S3's own mark of what the object holds now: the MD5 of its bytes, unless it was uploaded in parts or encrypted.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    bucket, key = _split(location)
    with _client(location) as client:
        return str(client.head_object(Bucket=bucket, Key=key)["ETag"]).strip('"')


def _split(location: str) -> tuple[str, str]:
    """Bucket and key. The key stands as it is, whatever a URL would make of `?`, `#` and `%` in it."""
    scheme, _, rest = location.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise ModelkilnError(f"{location!r}: expected s3://BUCKET/KEY")
    return bucket, key


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(max_concurrency=4, io_chunksize=PART, max_io_queue=WAITING_PARTS)


@contextmanager
def _client(location: str) -> Iterator[Any]:
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    except ImportError as error:
        raise ModelkilnError(f"{location}: needs the extra: pip install 'modelkiln[s3]' ({error})") from error
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    try:
        client = boto3.client("s3", config=settings)
    except (BotoCoreError, ValueError) as error:  # ValueError: AWS_ENDPOINT_URL is no address
        raise Unreachable(f"{location}: {one_line(error)}; look at AWS_* and ~/.aws") from error
    try:
        yield client
    except ParamValidationError as error:
        raise ModelkilnError(f"{location}: {one_line(error)}") from error
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in GONE:
            raise ModelkilnError(f"{location}: no such object in S3 ({one_line(error)})") from error
        raise Unreachable(f"{location}: {one_line(error)}") from error
    except (Boto3Error, BotoCoreError) as error:
        raise Unreachable(f"{location}: {one_line(error)}; look at the network, AWS_* and ~/.aws") from error
