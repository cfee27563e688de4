"""An S3 server on this machine: moto, in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

BUCKET = "kiln"
SECRET = "secretKeyOfTheTests"


@dataclass(frozen=True)
class S3:
    """A running server, and a bucket in it that is emptied for each test."""

    url: str
    bucket: str = BUCKET

    def put(self, key: str, data: bytes) -> str:
        """Stores an object, and returns its location."""
        self.client().put_object(Bucket=self.bucket, Key=key, Body=data)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        data = self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        assert isinstance(data, bytes)
        return data

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key=SECRET,
        )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def moto() -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 180
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def clients(url: str) -> dict[str, str]:
    """The environment variables by which clients find a server, and nothing of the user's own."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    }


@pytest.fixture(scope="session")
def s3_process() -> Iterator[str]:
    """The address of a moto server."""
    with moto() as url:
        yield url


@pytest.fixture
def s3_server(s3_process: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An S3 that modelkiln finds through AWS_*, with an empty bucket."""
    for name, value in clients(s3_process).items():
        monkeypatch.setenv(name, value)
    server = S3(s3_process)
    server.client().create_bucket(Bucket=server.bucket)
    yield server
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=server.bucket):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=server.bucket, Key=entry["Key"])
    client.delete_bucket(Bucket=server.bucket)
