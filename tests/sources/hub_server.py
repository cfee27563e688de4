"""A hub on this machine: what huggingface_hub asks of the real one, for one repository, and faults."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from in_thread import answering

from modelkiln.files import relative_files

REPO = "kiln/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWER = "89abcdef0123456789abcdef0123456789abcdef"
AGENTS = (
    "/api/agent-harnesses"  # huggingface_hub asks for it before all else, to name the caller; no part of a download
)


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    authorization: str | None
    range: str | None


# Answers a request in the hub's stead, and says whether it did.
Fault = Callable[["Handler"], bool]


@dataclass
class Hub:
    """A running hub: what it serves, how it fails, and what it was asked."""

    url: str
    folder: Path
    listing: list[str]  # the paths that it says the repository has
    fault: Fault = lambda _: False
    newer: Path | None = None  # what it serves at NEWER, where its branch is then
    blobs: str | None = None  # where it redirects for *.safetensors, as the real one does to its CDN
    seen: list[Request] = field(default_factory=list)

    def at(self, commit: str) -> Path | None:
        """The files of a commit, or None where there is no such."""
        return {COMMIT: self.folder, NEWER: self.newer}.get(commit)

    @property
    def requests(self) -> list[Request]:
        """The requests for the repository."""
        return [request for request in self.seen if request.path != AGENTS]


@contextmanager
def serve(folder: Path, fault: Fault = lambda _: False) -> Iterator[Hub]:
    """A hub that serves the files of `folder` as the repository REPO at COMMIT."""
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}", folder, relative_files(folder), fault)
    with answering(server):
        yield server.hub


def refuse(status: int, code: str = "", message: str = "") -> Fault:
    """Every request is refused, with the headers that huggingface_hub reads the reason from."""

    def fault(handler: Handler) -> bool:
        handler.refuse(status, code, message)
        return True

    return fault


def need_token(token: str) -> Fault:
    """A private repository: without the token it is not there, https://huggingface.co/docs/hub/security-tokens."""

    def fault(handler: Handler) -> bool:
        if handler.headers.get("Authorization") == f"Bearer {token}":
            return False
        handler.refuse(401, "RepoNotFound", "Invalid username or password.")
        return True

    return fault


def never_answer(_: Handler) -> bool:
    """Takes the request, and is silent."""
    time.sleep(600)
    return True


def be_no_hub(handler: Handler) -> bool:
    """A web page for everything, such as a network's log-in page gives."""
    handler.send(200, {"Content-Type": "text/html", "Content-Length": "6"}, b"<html>")
    return True


def alter(handler: Handler) -> bool:
    """Files of the right size, with another last byte."""
    return handler.command == "GET" and handler.send_file(lambda data: data[:-1] + bytes([data[-1] ^ 1]))


def cut_short(handler: Handler) -> bool:
    """Files that lack their last byte, in answers that are whole."""
    return handler.command == "GET" and handler.send_file(lambda data: data[:-1])


def break_off(handler: Handler) -> bool:
    """The connection ends in the middle of each file."""
    return handler.command == "GET" and handler.send_file(broken_at=0.5)


def break_off_once(handler: Handler) -> bool:
    """The connection ends late in the weights, unless the client asks for the rest of them only."""
    asked_for_all = handler.command == "GET" and handler.headers.get("Range") is None
    return asked_for_all and handler.path.endswith(".safetensors") and handler.send_file(broken_at=0.9)


class Server(ThreadingHTTPServer):
    """Each request has a thread, and none of them outlives the tests."""

    daemon_threads = True
    hub: Hub


class Handler(BaseHTTPRequestHandler):
    """The endpoints: the tree of a revision, the facts of a revision, and HEAD and GET of a file."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Nothing on stderr."""

    def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answers, without the body where only the headers were asked for."""
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        """An error as the hub words it."""
        self.send(status, {"X-Error-Code": code, "X-Error-Message": message, "Content-Length": "0"}, b"")

    def send_file(self, change: Callable[[bytes], bytes] = bytes, broken_at: float = 1.0) -> bool:
        """Answers with a file of the repository, if that is what was asked for: `change`d, and only so much of it."""
        found = self._file()
        if found is None or not found.is_file():
            return False
        data = found.read_bytes()
        headers = {"X-Repo-Commit": self._commit(), "Accept-Ranges": "bytes"}
        headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()}"'
        status, data, size = 200, change(data), len(data)
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
            status, data = 206, data[start:]
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        headers["Content-Length"] = str(len(data))
        self.send(status, headers, data[: int(len(data) * broken_at)])
        self.close_connection = broken_at < 1
        return True

    def _answer(self) -> None:
        hub = self.server.hub
        hub.seen.append(
            Request(
                self.command, urlsplit(self.path).path, self.headers.get("Authorization"), self.headers.get("Range")
            )
        )
        if urlsplit(self.path).path == AGENTS:
            self.refuse(404)
        elif not hub.fault(self) and not self._redirect() and not self._list() and not self.send_file():
            self.refuse(404, self._reason())

    def _redirect(self) -> bool:
        hub, found = self.server.hub, self._file()
        if hub.blobs is None or self._path().startswith("/cdn/") or found is None or found.suffix != ".safetensors":
            return False
        data = found.read_bytes()
        headers = {"X-Repo-Commit": self._commit(), "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"'}
        headers |= {"X-Linked-Size": str(len(data)), "Content-Length": "0"}
        self.send(302, {**headers, "Location": f"{hub.blobs}{self.path}"}, b"")
        return True

    def _list(self) -> bool:
        hub = self.server.hub
        branch = NEWER if hub.newer else COMMIT
        if self._path() == f"/api/models/{REPO}/tree/{COMMIT}":
            sizes = {name: self._size(name) for name in hub.listing}
            body: object = [{"type": "file", "path": path, "size": size, "oid": "0"} for path, size in sizes.items()]
        elif self._path() in (f"/api/models/{REPO}", f"/api/models/{REPO}/revision/{self._commit()}"):
            commit = self._commit() or branch
            names = hub.listing if commit == COMMIT else relative_files(hub.newer or hub.folder)
            siblings = [{"rfilename": name, **self._blob(commit, name)} for name in names]
            body = {"id": REPO, "sha": commit, "siblings": siblings}
        else:
            return False
        data = json.dumps(body).encode()
        self.send(200, {"Content-Type": "application/json", "Content-Length": str(len(data))}, data)
        return True

    def _blob(self, commit: str, name: str) -> dict[str, str]:
        """What the real one adds to a file of a list where `blobs` are asked for: git's digest of it."""
        folder = self.server.hub.at(commit)
        if "blobs=" not in urlsplit(self.path).query or folder is None or not (folder / name).is_file():
            return {}
        data = (folder / name).read_bytes()
        return {"blobId": hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()}

    def _reason(self) -> str:
        if f"/{REPO}/" not in self._path():
            return "RepoNotFound"
        return "EntryNotFound" if self._commit() else "RevisionNotFound"

    def _commit(self) -> str:
        """The commit that is asked for, or nothing where it is none of ours."""
        return next((commit for commit in (COMMIT, NEWER) if commit in self._path() and self.server.hub.at(commit)), "")

    def _file(self) -> Path | None:
        found = re.fullmatch(f"(?:/cdn)?/{quote(REPO)}/resolve/(?:{COMMIT}|{NEWER})/(.+)", self._path())
        folder = self.server.hub.at(self._commit())
        return folder / found[1] if found and folder else None

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _size(self, name: str) -> int:
        path = self.server.hub.folder / name
        return path.stat().st_size if path.is_file() else 0
