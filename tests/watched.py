"""Runs a command where every look-up of a name is seen, and lists what it has left in an empty home folder.

    python -m watched HOME COMMAND …

In a network of its own, which has no way out, and where every name is asked of us: nothing else tells of a library in C
that calls home. JSON of the names on the last line of standard output. Needs Linux's user namespaces.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

INSIDE = "WATCHED_INSIDE"


def can_watch() -> bool:
    """Whether this machine allows it."""
    done = subprocess.run(["unshare", "-rnm", "true"], capture_output=True, check=False)
    return done.returncode == 0


def watch(
    home: Path, command: list[str], **options: Any
) -> tuple[list[str], list[str], subprocess.CompletedProcess[str]]:
    """The names that were looked up, the files in `home` afterwards, and what became of the command."""
    watcher = ["unshare", "-rnm", sys.executable, __file__, str(home), *command]
    done = subprocess.run(watcher, capture_output=True, text=True, check=False, **options)
    *said, names = done.stdout.splitlines()
    done.stdout = "\n".join(said)
    left = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if not path.is_dir())
    return json.loads(names), left, done


def main() -> None:
    home, command = sys.argv[1], sys.argv[2:]
    _lo_up()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolver:
        resolver.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        resolver.flush()
        subprocess.run(["mount", "--bind", resolver.name, os.path.realpath("/etc/resolv.conf")], check=True)
        names: set[str] = set()
        asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asked.bind(("127.0.0.1", 53))
        threading.Thread(target=_answer, args=(asked, names), daemon=True).start()
        done = subprocess.run(command, env={**os.environ, "HOME": home}, check=False)
        print(json.dumps(sorted(names)))
        sys.exit(done.returncode)


def _answer(asked: socket.socket, names: set[str]) -> None:
    """Notes each name, and says that there is none."""
    while True:
        query, sender = asked.recvfrom(4096)
        parts, at = [], 12
        while query[at]:
            parts.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace"))
            at += 1 + query[at]
        names.add(".".join(parts))
        asked.sendto(query[:2] + b"\x81\x83" + query[4:6] + b"\0" * 6 + query[12 : at + 5], sender)


def _lo_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS


if __name__ == "__main__":
    main()
