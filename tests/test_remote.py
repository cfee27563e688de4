"""The team's S3 remote, over HTTP: what one machine ran another takes, and what breaks on the way loses nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from clone import STAGES, Clone
from in_thread import answering
from registries.mlflow_server import Fault, Request, proxy
from s3_server import S3, free_port

pytestmark = pytest.mark.pipeline
heavy = pytest.mark.heavy
SOON = 120  # seconds in which a command that can't reach the remote has said so


def connect(machine: Clone, url: str = "s3://kiln/team") -> None:
    """What `make remote` does; its set-up would make an environment."""
    recipe = re.search(r"^remote: .*\n((?:\t.*\n)+)", (machine.folder / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    for line in recipe[1].splitlines():
        machine.run("bash", "-c", line.strip().lstrip("@").replace("$(URL)", url))


@pytest.fixture
def first(clone: Clone, s3_server: S3) -> Clone:
    """Machine A: the pipeline has run there, and the remote is configured."""
    clone.environment |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    # Committed, as a team's own clone has them: the receipt says that it is registered.
    connect(clone)
    clone.run("git", "add", ".")
    clone.run("git", "add", "--force", "receipts")
    clone.run("git", "commit", "-qm", "the remote")
    return clone


@pytest.fixture
def second(first: Clone, tmp_path: Path) -> Callable[[], Clone]:
    """Machine B, a fresh clone of A's repository."""

    def made() -> Clone:
        subprocess.run(["git", "clone", "-q", str(first.folder), str(tmp_path / "second")], check=True)
        other = Clone(tmp_path / "second")
        other.environment |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        other.run("git", "config", "user.email", "b@example.org")
        other.run("git", "config", "user.name", "b")
        return other

    return made


def push(machine: Clone) -> None:
    machine.run("dvc", "push", "-q", "--run-cache")


def digest(machine: Clone) -> str:
    return str(machine.read("artifacts/compiled/manifest.json")["digest"])


def outs(machine: Clone, stage: str) -> dict[str, str]:
    """md5 of each output of a stage, by its path."""
    lock = yaml.safe_load((machine.folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for out in lock["stages"][stage]["outs"]}


def remote_key(md5: str) -> str:
    return f"team/files/md5/{md5[:2]}/{md5[2:]}"


def graph_key(machine: Clone, s3: S3) -> str:
    """The key of the compiled graph's object."""
    listing = json.loads(s3.get(remote_key(outs(machine, "compile")["artifacts/compiled"])))
    (md5,) = [entry["md5"] for entry in listing if entry["relpath"].endswith(".onnx")]
    return remote_key(md5)


def test_what_one_machine_ran_another_takes(
    first: Clone, second: Callable[[], Clone], s3_server: S3, modelkiln_command: object
) -> None:
    config = (first.folder / ".dvc" / "config").read_text()
    assert "verify = true" in config
    assert "connect_timeout = 10" in config
    assert "secret" not in config.lower()
    push(first)
    other = second()
    other.run("dvc", "pull", "-q", "--run-cache")
    assert other.repro() == []
    assert digest(other) == digest(first)
    assert other.read("receipts/upload.json") == first.read("receipts/upload.json")
    # A changed param runs its own stage.
    other.compose("upload.alias=challenger")
    assert other.repro() == ["upload"]


@heavy
def test_without_the_lock_the_run_cache_stands_for_every_stage_but_the_registration(
    first: Clone, second: Callable[[], Clone], tmp_path: Path, mlflow_database: Path
) -> None:
    """And the same artifact is not registered a second time."""
    shared = shutil.copy(mlflow_database, tmp_path / "shared.db")
    place = [f"upload.options.tracking_uri=sqlite:///{shared}", f"upload.options.artifact_root={tmp_path / 'files'}"]
    first.compose(*place)
    assert first.repro() == ["upload"]
    first.run("git", "rm", "-q", "--cached", "dvc.lock", "receipts/upload.json")
    first.run("git", "commit", "-qam", "no lock")
    push(first)
    other = second()
    assert not (other.folder / "dvc.lock").exists()
    other.run("dvc", "fetch", "-q", "--run-cache", check=False)
    assert other.repro("--pull") == ["upload"]
    assert other.read("receipts/upload.json") == first.read("receipts/upload.json")
    assert digest(other) == digest(first)


@contextmanager
def through(machine: Clone, s3: S3, fault: Callable[[Request], Fault | None]) -> Iterator[None]:
    """The machine reaches S3 by way of a proxy that fails as it is told."""
    with proxy(s3.url, fault) as between:
        machine.environment["AWS_ENDPOINT_URL"] = between.url
        try:
            yield
        finally:
            machine.environment["AWS_ENDPOINT_URL"] = s3.url


def fails_soon(machine: Clone, *command: str) -> str:
    """What a command says that has to fail, without a traceback and in bounded time."""
    started = time.monotonic()
    done = machine.run(*command, check=False)
    assert done.returncode != 0, done.stdout
    assert time.monotonic() - started < SOON
    assert "Traceback" not in done.stderr
    return done.stderr


@heavy
def test_remote_that_is_down_before_a_push_loses_nothing(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    first.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    fails_soon(first, "dvc", "push", "--run-cache")
    assert first.repro() == []
    first.environment["AWS_ENDPOINT_URL"] = s3_server.url
    push(first)
    other = second()
    other.run("dvc", "pull", "-q", "--run-cache")
    assert (other.repro(), digest(other)) == ([], digest(first))


@heavy
def test_push_that_breaks_off_is_completed_by_the_next(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    puts = 0

    def dies(request: Request) -> Fault | None:
        nonlocal puts
        puts += request.method == "PUT"
        return Fault() if puts > 5 else None

    with through(first, s3_server, dies):
        fails_soon(first, "dvc", "push", "--run-cache")
    assert puts > 5
    # Until then nobody gets half of it and takes it for the whole.
    other = second()
    assert "missing" in fails_soon(other, "dvc", "pull", "--run-cache").lower()
    push(first)
    other.run("dvc", "pull", "-q", "--run-cache")
    assert (other.repro(), digest(other)) == ([], digest(first))


@heavy
def test_remote_that_is_down_after_a_push_stops_no_work(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    push(first)
    other = second()
    other.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    fails_soon(other, "dvc", "pull", "--run-cache")
    # What can't be fetched is made again; it is the same artifact, which has its receipt.
    ran = other.repro()
    assert (ran, digest(other)) == (STAGES[:3], digest(first))


@heavy
def test_object_that_was_altered_is_not_taken(first: Clone, second: Callable[[], Clone], s3_server: S3) -> None:
    push(first)
    key = graph_key(first, s3_server)
    altered = bytearray(s3_server.get(key))
    altered[len(altered) // 2] ^= 1
    s3_server.put(key, bytes(altered))
    other = second()
    other.run("dvc", "pull", "-q", "--run-cache", check=False)
    # By whatever way it goes on, it is never the altered one that is used.
    other.run("dvc", "repro", check=False)
    graphs = list((other.folder / "artifacts").glob("compiled/graphs/*.onnx"))
    good = (first.folder / "artifacts/compiled/graphs/encoder.onnx").read_bytes()
    assert [graph.read_bytes() for graph in graphs] in ([], [good])


@heavy
def test_object_that_was_altered_is_refused_where_dvc_does_not_look(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    """Without `verify`, DVC takes what it gets; the artifact's own manifest does not."""
    push(first)
    key = graph_key(first, s3_server)
    altered = bytearray(s3_server.get(key))
    altered[len(altered) // 2] ^= 1
    s3_server.put(key, bytes(altered))
    other = second()
    other.run("dvc", "remote", "modify", "prod", "verify", "false")
    other.run("dvc", "pull", "-q", "--run-cache")
    said = other.modelkiln("verify", "artifacts/compiled", check=False)
    assert (said.returncode, "graphs/encoder.onnx was altered" in said.stderr) == (1, True)
    assert "was altered" in other.modelkiln("extract", "artifacts/compiled", "golden.jsonl", check=False).stderr
    done = other.run("dvc", "repro", "--force", "--single-item", "upload", check=False)
    assert (done.returncode, "was altered" in done.stderr) == (255, True)


@heavy
def test_object_that_is_missing_is_named_and_made_again(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    push(first)
    key = graph_key(first, s3_server)
    s3_server.client().delete_object(Bucket=s3_server.bucket, Key=key)
    other = second()
    said = fails_soon(other, "dvc", "pull", "--run-cache")
    assert key.removeprefix("team/files/md5/").replace("/", "") in said
    assert "failed to pull" in said
    assert other.repro() == ["compile"]
    assert digest(other) == digest(first)


@heavy
def test_run_cache_that_was_poisoned_registers_nothing(
    first: Clone, second: Callable[[], Clone], s3_server: S3
) -> None:
    """An entry that gives another artifact than these params make: the artifact says itself what it is."""
    push(first)
    wanted = outs(first, "compile")["artifacts/compiled"]
    before = (first.folder / "params.yaml").read_text()
    first.compose("compile.max_batch=16")
    first.repro("validate")
    push(first)
    other_md5 = outs(first, "compile")["artifacts/compiled"]
    assert other_md5 != wanted
    (first.folder / "params.yaml").write_text(before)
    client = s3_server.client()
    poisoned = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3_server.bucket, Prefix="team/runs/"):
        for entry in page["Contents"]:
            text = s3_server.get(entry["Key"]).decode()
            if f"md5: {wanted}" in text and "path: artifacts/compiled\n" in text.split("outs:")[-1]:
                head, _, tail = text.rpartition("outs:")
                s3_server.put(entry["Key"], (head + "outs:" + tail.replace(wanted, other_md5)).encode())
                poisoned += 1
    assert poisoned
    first.run("git", "checkout", "dvc.lock")
    first.run("git", "rm", "-q", "--cached", "dvc.lock", "receipts/upload.json")
    first.run("git", "commit", "-qam", "no lock")
    other = second()
    done = other.run("dvc", "repro", "--pull", check=False)
    assert done.returncode == 255
    assert "upload: not registered: the artifact is not what params.yaml asks for" in done.stderr
    assert "max_batch of encoder document is 16, expected 512" in done.stderr
    assert not (other.folder / "receipts/upload.json").exists()


class Expired(BaseHTTPRequestHandler):
    """S3's answer to credentials that have expired."""

    def answer(self) -> None:
        body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 (http.server finds them by name)

    def log_message(self, *_: object) -> None:
        pass


@heavy
def test_credentials_that_have_expired_are_said_and_lose_nothing(first: Clone, s3_server: S3) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Expired)
    with answering(server):
        first.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
        said = fails_soon(first, "dvc", "push", "--run-cache")
    assert re.search("expired|400|Bad Request", said)
    assert first.environment["AWS_SECRET_ACCESS_KEY"] not in said
    assert first.repro() == []
    first.environment["AWS_ENDPOINT_URL"] = s3_server.url
    push(first)
