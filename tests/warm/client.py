"""A command of the warm Python: `-m MODULE …` in a fork of the server, anything else in the usual way."""

from __future__ import annotations

import json
import os
import socket
import sys

# It says what serving does without the libraries, so it may not have them.
COLD = ["modelkiln.checks.fresh"]


def main(folder: str, name: str, arguments: list[str]) -> None:
    """`folder` has the commands, and the server's socket beside them."""
    if name == "dvc":
        arguments = ["-m", "dvc", *arguments]
    if arguments[:1] != ["-m"] or arguments[1] in COLD:
        os.execv(sys.executable, [sys.executable, *arguments])
    asked = {"arguments": arguments[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/socket")
        socket.send_fds(server, [b"!"], [0, 1, 2])
        server.sendall(json.dumps({**asked, "executable": f"{folder}/python"}).encode() + b"\n")
        code = int(server.makefile().readline())
    sys.exit(code if code >= 0 else 128 - code)  # of a signal, as a shell says it


if __name__ == "__main__":
    main(*os.path.split(sys.argv[0]), sys.argv[1:])
