"""A real `mlflow server`, and a proxy in front of it that fails as it is told to."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from in_thread import answering

JSON = {"Content-Type": "application/json"}
KEPT = {"content-type", "etag", "last-modified"}  # of an answer's headers: what the clients look at
FILES = "/api/2.0/mlflow-artifacts/artifacts"
# What a registration asks for, by method and path.
KINDS = {
    "create_experiment": ("POST", "/api/2.0/mlflow/experiments/create"),
    "create_run": ("POST", "/api/2.0/mlflow/runs/create"),
    "create_model": ("POST", "/api/2.0/mlflow/registered-models/create"),
    "create_version": ("POST", "/api/2.0/mlflow/model-versions/create"),
    "upload": ("PUT", FILES),
    "end_run": ("POST", "/api/2.0/mlflow/runs/update"),
    "set_tag": ("POST", "/api/2.0/mlflow/model-versions/set-tag"),
    "set_alias": ("POST", "/api/2.0/mlflow/registered-models/alias"),
}


@dataclass
class Server:
    """A running `mlflow server`: sqlite, and the files through the server itself."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--serve-artifacts", "--artifacts-destination", str(self.folder / "files")]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=variables, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """kill -9 of the server and all its workers."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _wait(self) -> None:
        assert self.process
        give_up = time.monotonic() + 300
        while time.monotonic() < give_up and self.process.poll() is None:
            with suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).read()
                return
            time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text()[-2000:])


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """An `mlflow server` that keeps all it has in `folder`."""
    running = Server(folder, free_port())
    try:
        running.start()
        yield running
    finally:
        running.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    authorization: str | None

    def is_a(self, kind: str) -> bool:
        method, path = KINDS[kind]
        return self.method == method and self.path.startswith(path)


@dataclass(frozen=True)
class Fault:
    """What happens to a request."""

    status: int = 0  # the client gets this answer; 0: none, the connection is closed
    body: bytes = b"made up"
    commits: bool = False  # the server gets the request nevertheless
    half_sent: bool = False  # the server gets the half of the body
    cut: bool = False  # the server's own answer, but only half of its body, under a header that promises no more
    promised: bool = False  # with cut: under a header that promises all of it


@dataclass
class Proxy:
    """A running proxy: how it fails, and what it was asked."""

    url: str
    upstream: str  # host:port
    fault: Callable[[Request], Fault | None] = lambda _: None
    seen: list[Request] = field(default_factory=list)

    def asked(self, kind: str) -> int:
        return sum(request.is_a(kind) for request in self.seen)


@contextmanager
def proxy(upstream: str, fault: Callable[[Request], Fault | None] = lambda _: None) -> Iterator[Proxy]:
    """A proxy before the server at `upstream`, whose faults are what `fault` says of each request."""
    running = _Proxy(("127.0.0.1", 0), _Handler)
    running.daemon_threads = True
    running.proxy = Proxy(f"http://127.0.0.1:{running.server_port}", upstream.removeprefix("http://"), fault)
    with answering(running):
        yield running.proxy


def once(kind: str, fault: Fault) -> Callable[[Request], Fault | None]:
    """The first request of a kind has the fault, and no other."""
    waiting = [fault]
    return lambda request: waiting.pop() if waiting and request.is_a(kind) else None


class _Proxy(ThreadingHTTPServer):
    proxy: Proxy

    def handle_error(self, *_: object) -> None:
        """A client that is killed, or a server, breaks its connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        request = Request(self.command, self.path, self.headers.get("Authorization"))
        proxy.seen.append(request)
        fault = proxy.fault(request)
        if fault and fault.half_sent:
            self._send_half(proxy, body)
        if fault and not fault.commits and not fault.cut:
            self._answer(fault.status, fault.body)
            return
        status, headers, answer = self._forward(proxy, body)
        if fault and fault.cut:
            kept = answer[: len(answer) // 2]
            self._answer(status, kept, len(answer) if fault.promised else len(kept))
        elif fault:
            self._answer(fault.status, fault.body)
        else:
            kept = {name: value for name, value in headers.items() if name.lower() in KEPT}
            # Of what a HEAD asks about, the length.
            length = int(headers.get("Content-Length") or 0) if self.command == "HEAD" else None
            self._answer(status, answer, length, kept)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (http.server finds them by name)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self, proxy: Proxy, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(proxy.upstream, timeout=300)
        left_out = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
        response = connection.getresponse()
        try:
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def _send_half(self, proxy: Proxy, body: bytes) -> None:
        host, _, port = proxy.upstream.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            start = (
                f"{self.command} {self.path} HTTP/1.1\r\nHost: {proxy.upstream}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            upstream.sendall(start.encode() + body[: len(body) // 2])
            time.sleep(0.2)

    def _answer(self, status: int, body: bytes, length: int | None = None, headers: Mapping[str, str] = JSON) -> None:
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if self.command != "HEAD" and length is not None and length != len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
