"""A command of the warm Python: a module or a script in a fork of the server, anything else in the usual way."""

from __future__ import annotations

import json
import os
import socket
import sys

# These modules may not have the libraries: they say what serving does without them.
COLD = ["modelkiln.checks.fresh"]


def main(folder: str, name: str, arguments: list[str]) -> None:
    """`folder` has the commands, and the server's socket beside them."""
    if name == "dvc":
        arguments = ["-m", "dvc", *arguments]
    warm = arguments[1] not in COLD if arguments[0] == "-m" else arguments[0].endswith(".py")
    if not warm:
        os.execv(sys.executable, [sys.executable, *arguments])
    asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/socket")
        socket.send_fds(server, [b"!"], [0, 1, 2])
        server.sendall(json.dumps({**asked, "executable": f"{folder}/python"}).encode() + b"\n")
        code = int(server.makefile().readline())
    sys.exit(code if code >= 0 else 128 - code)  # of a signal, as a shell says it


if __name__ == "__main__":
    main(*os.path.split(sys.argv[0]), sys.argv[1:])
