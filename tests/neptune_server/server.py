"""The server's HTTP side, with the faults that a test can switch on."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from neptune_server import operations
from neptune_server.documents import ROUTES, document
from neptune_server.state import Refused, State

PIECE = 1 << 20  # bytes read or sent at a time
FOREVER = math.inf


@dataclass
class Fault:
    """What happens instead of the answer, the next `times` times that an operation of that name is called."""

    call: str
    what: str  # answer: that status; cut, cut quietly: half of the bytes; die: gone for `seconds`; garble: another byte
    times: float = 1
    status: int = 500
    error: str = ""  # the errorType in the answer's body
    after: bool = False  # the state has changed by then
    seconds: float = 0.5


class NeptuneServer:
    """A Neptune server for tests: `start`, then `url`. What it holds survives `die` and `come_back`."""

    def __init__(self, folder: Path) -> None:
        self.open: set[socket.socket] = set()
        self._http: ThreadingHTTPServer | None = None
        self._folder = folder
        self._port = 0
        self.reset()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def reset(self) -> None:
        """Forgets everything."""
        self.state = State(self._folder)
        self.faults: list[Fault] = []
        self.calls: list[str] = []  # the names of the operations called so far
        # Called `before` and `after` each of them, with its name and its body.
        self.watch: Callable[[str, str, Any], None] = lambda name, moment, body: None

    def start(self) -> None:
        self._http = _Server(("127.0.0.1", self._port), _Handler)
        self._http.neptune = self  # type: ignore[attr-defined]
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """Refuses connections, and drops those there are."""
        http, self._http = self._http, None
        if http:
            http.shutdown()
            http.server_close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fail(self, call: str, what: str = "answer", **how: Any) -> None:
        """Switches a fault on."""
        self.faults.append(Fault(call, what, **how))

    def fault(self, name: str) -> Fault | None:
        """The fault that this call meets, if any."""
        with self.state.lock:
            for each in self.faults:
                if each.call in (name, "*") and each.times > 0:
                    each.times -= 1
                    return each
        return None

    def leave_for(self, seconds: float) -> None:
        self.die()
        time.sleep(seconds)
        self.start()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def setup(self) -> None:
        super().setup()
        self.neptune: NeptuneServer = self.server.neptune  # type: ignore[attr-defined]
        self.neptune.open.add(self.connection)

    def finish(self) -> None:
        self.neptune.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        name = ROUTES.get((self.command, url.path), url.path)
        self.neptune.calls.append(name)
        fault = self.neptune.fault(name)
        body = self._body(name, fault)
        if body is None:
            return
        self.neptune.watch(name, "before", body)
        if fault and fault.what == "answer" and not fault.after:
            self._answer(fault.status, {"errorType": fault.error, "title": "a fault of the test's"})
            return
        try:
            if name == "downloadAttribute":
                self._download(fault)
                return
            answer = self._perform(name, url.path, body)
        except Refused as error:
            self._answer(error.status, error.body)
            return
        self.neptune.watch(name, "after", body)
        if fault and fault.after:
            self._answer(fault.status, {"errorType": fault.error, "title": "a fault of the test's"})
        else:
            self._answer(200, answer)

    def _body(self, name: str, fault: Fault | None) -> Any:
        """The request's JSON; for the bytes of a file, where they were put; None where the server died over it."""
        left = int(self.headers.get("Content-Length", 0))
        if name not in ("fileAtomUpload", "fileAtomMultipartUploadPart"):
            data = self.rfile.read(left)
            if fault and fault.what == "die":
                return self._die(fault)
            return json.loads(data) if data and data[:1] in b"[{" else {}
        upload = self.neptune.state.uploads.get(self.query.get("uploadId", [""])[0])
        path = upload[4] if upload else self.neptune.state.new_file()
        with path.open("r+b" if upload else "wb") as file:
            if upload:  # X-Range: bytes=FIRST-LAST/TOTAL
                file.seek(int(self.headers["X-Range"].partition("=")[2].partition("-")[0]))
            if fault and fault.what == "die":
                file.write(self.rfile.read(left // 2))
                return self._die(fault)
            garbled = fault is not None and fault.what == "garble"
            while left:
                piece = self.rfile.read(min(left, PIECE))
                left -= len(piece)
                file.write(bytes([piece[0] ^ 1]) + piece[1:] if garbled else piece)
                garbled = False
        return path

    def _die(self, fault: Fault) -> None:
        self.close_connection = True
        threading.Thread(target=self.neptune.leave_for, args=(fault.seconds,), daemon=True).start()
        time.sleep(0.1)  # not this thread's answer, but the connection's end is what the client hears

    def _perform(self, name: str, path: str, body: Any) -> Any:
        address, state = self.neptune.url, self.neptune.state
        if path.endswith("/swagger.json"):
            return document(path.split("/")[2])
        if path.endswith("/protocol/openid-connect/token"):
            return operations.refreshed(address)
        if name in ("getClientConfig", "exchangeApiToken"):
            if not self.headers.get("X-Neptune-Api-Token"):
                raise Refused(401)
            return operations.client_config(address) if name == "getClientConfig" else operations.tokens(address)
        if not self.headers.get("Authorization", "").startswith("Bearer ey"):
            raise Refused(401)
        with state.lock:
            if name == "fileAtomUpload":
                ext = self.query.get("ext", [""])[0]
                state.store(self.query["experimentIdentifier"][0], self.query["attribute"][0], ext, body)
                return {"errors": []}
            if name == "fileAtomMultipartUploadPart":
                return {"errors": []}
            if perform := getattr(operations, name, None):
                return perform(state, self.query, body)
        raise Refused(404, {"title": f"no such operation: {self.command} {path}"})

    def _download(self, fault: Fault | None) -> None:
        with self.neptune.state.lock:
            container = self.neptune.state.find(self.query["experimentId"][0])
            name = self.query["attribute"][0]
            attribute = container.attributes.get(name)
        if attribute is None or attribute.path is None:
            raise Refused(404)
        size = attribute.path.stat().st_size
        left = size // 2 if fault and fault.what.startswith("cut") else size
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", f'attachment; filename="{quote(name.rsplit("/", 1)[-1])}"')
        if fault is None or fault.what != "cut quietly":  # without it, the end of the connection is the end of the file
            self.send_header("Content-Length", str(size))
        self.close_connection = left < size
        self.end_headers()
        with attribute.path.open("rb") as file:
            while left:
                piece = file.read(min(left, PIECE))
                left -= len(piece)
                self.wfile.write(piece)

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:  # the client is gone
            self.close_connection = True
