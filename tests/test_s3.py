"""Objects arrive whole or not at all, and what failed is one line in bounded time: boto3 against a server over HTTP."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from s3_server import S3, SECRET, free_port

from modelkiln import ModelkilnError, s3

DATA = bytes(range(256)) * 40


class Cutting(BaseHTTPRequestHandler):
    """Serves one object, and hangs up in the middle of it so many times."""

    cuts = 0
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.send_header("ETag", '"x"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        short = type(self).cuts > 0
        type(self).cuts -= 1
        self.wfile.write(DATA[: len(DATA) // 2] if short else DATA)
        self.close_connection = short

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Cutting]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cutting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    yield Cutting
    server.shutdown()
    server.server_close()


def one_line_of(location: str, dest: Path, kind: type[ModelkilnError] = ModelkilnError) -> str:
    with pytest.raises(kind) as raised:
        s3.fetch(location, dest)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)
    assert not dest.exists()
    assert not list(dest.parent.iterdir())  # nor one that boto3 had begun
    return str(raised.value)


@pytest.mark.parametrize(
    "key", ["a", "a b/ c", "naïve/日本.bin", "what?x=1", "part#2", "100%/%41", "a+b", "a/./b", "k'\"&<>"]
)
def test_object_comes_back_whatever_its_key(key: str, s3_server: S3, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    location = f"s3://{s3_server.bucket}/{key}"
    s3.store(source, location)
    assert s3_server.get(key) == DATA
    s3.fetch(location, tmp_path / "dest")
    assert (tmp_path / "dest").read_bytes() == DATA


def test_object_without_bytes_comes_back(s3_server: S3, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    s3.store(tmp_path / "empty", f"s3://{s3_server.bucket}/empty")
    s3.fetch(f"s3://{s3_server.bucket}/empty", tmp_path / "dest")
    assert (tmp_path / "dest").read_bytes() == b""


def test_etag_is_the_md5_of_what_was_stored_in_one_piece(s3_server: S3) -> None:
    assert s3.etag(s3_server.put("a", DATA)) == hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize("location", ["s3://{bucket}/none", "s3://no-such-bucket/a"])
def test_object_that_is_not_there_is_one_line(location: str, s3_server: S3, tmp_path: Path) -> None:
    location = location.format(bucket=s3_server.bucket)
    assert one_line_of(location, tmp_path / "dest").startswith(f"{location}: no such object in S3")


@pytest.mark.parametrize("location", ["s3://", "s3://b", "s3://b/", "s3:///k", "http://b/k", "/a/b", "", "s3:b/k"])
def test_location_that_is_none_shows_one_that_is(location: str, tmp_path: Path) -> None:
    assert "expected s3://BUCKET/KEY" in one_line_of(location, tmp_path / "dest")


@pytest.mark.parametrize("location", ["s3://[x/k", "s3://a b/k", "s3://ä℀/k"])
def test_bucket_that_can_be_none_is_one_line(location: str, s3_server: S3, tmp_path: Path) -> None:
    assert location in one_line_of(location, tmp_path / "dest")


def test_no_credentials_is_one_line(s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = s3_server.put("a", DATA)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers them
    assert "credentials" in one_line_of(location, tmp_path / "dest", s3.Unreachable)


def test_endpoint_that_is_no_address_is_one_line(
    s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert "nonsense" in one_line_of("s3://a/b", tmp_path / "dest", s3.Unreachable)


def test_server_that_is_down_is_one_line_and_soon(
    s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    assert "Could not connect" in one_line_of("s3://a/b", tmp_path / "dest", s3.Unreachable)
    assert time.monotonic() - started < 60


def test_server_that_never_answers_is_one_line(
    cutting: type[Cutting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "READ_SECONDS", 0.2)
    monkeypatch.setattr(cutting, "do_HEAD", lambda _: time.sleep(1))
    assert "timeout" in one_line_of("s3://a/b", tmp_path / "dest", s3.Unreachable).lower()


def test_download_cut_short_is_tried_again(cutting: type[Cutting], tmp_path: Path) -> None:
    cutting.cuts = 2
    s3.fetch("s3://bucket/key", tmp_path / "dest")
    assert (tmp_path / "dest").read_bytes() == DATA


def test_download_cut_short_each_time_leaves_nothing(cutting: type[Cutting], tmp_path: Path) -> None:
    cutting.cuts = 1000
    assert one_line_of("s3://bucket/key", tmp_path / "dest", s3.Unreachable)


def test_file_of_an_earlier_try_is_not_taken_for_the_object(s3_server: S3, tmp_path: Path) -> None:
    (tmp_path / "dest").write_bytes(b"old")
    one_line_of(f"s3://{s3_server.bucket}/none", tmp_path / "dest")


GIGABYTE = """
import resource, sys
from pathlib import Path
from modelkiln import s3
source, location, dest = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
import boto3
boto3.client("s3").list_buckets()  # what the library itself needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
s3.store(source, location)
s3.fetch(location, dest)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.heavy
def test_gigabyte_needs_bounded_memory(s3_server: S3, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        for number in range(1024):
            file.write(bytes([number % 251]) * (1 << 20))
    command = [sys.executable, "-c", GIGABYTE, source, f"s3://{s3_server.bucket}/big", tmp_path / "dest"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150  # MB
    assert subprocess.run(["cmp", source, tmp_path / "dest"], check=False).returncode == 0
