"""The Python that compiles and judges: the pipeline's own, or one that a backend needs (docs/decisions/0002-worker.md).

The other one need not have modelkiln. Its PYTHONPATH is a folder that holds a copy of this modelkiln and nothing else:
the folder that holds it may be our site-packages, whose other libraries were built for our Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import distributions, env
from modelkiln.errors import ModelkilnError, one_line

OLDEST = (3, 10)
PATIENCE = 60.0  # seconds until it has said what it has: a cold disk takes a few
# `python -m` for any Python, but with no modules from the folder that it is run in: before 3.11 there is no `-P`.
RUN = (
    f"import sys; sys.version_info < {OLDEST} and sys.exit('Python %d.%d is too old' % sys.version_info[:2]); "
    "sys.path[:1] == [''] and sys.path.pop(0); del sys.argv[0]; import runpy; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class Interpreter:
    """What child processes run under."""

    executable: str
    root: str | None = None  # the folder with the copy of modelkiln; None: the pipeline's own interpreter

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command line that runs a module."""
        return [self.executable, *(("-c", RUN) if self.root else ("-m",)), module, *arguments]

    def environment(self) -> dict[str, str]:
        """The environment of such a process, which may not reach for the hub."""
        ours = env.offline_environment()
        if self.root is None:
            return ours
        # Our own libraries are none of its.
        kept = {name: value for name, value in ours.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        return {**kept, "PYTHONPATH": self.root}


@contextmanager
def chosen(python: str | None, where: str = "compile.python") -> Iterator[Interpreter]:
    """The interpreter to use, as long as the block lasts.

    Args:
        python: The path of one, or a command on PATH; None: the one that runs this.
        where: Names the choice in messages.

    Raises:
        ModelkilnError: there is no such interpreter.
    """
    if python is None:
        yield Interpreter(sys.executable)
        return
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise ModelkilnError(
            f"{where}: {python}: no such interpreter; expected the path of a Python {_oldest()} or newer, a command on "
            "PATH, or null for the pipeline's own"
        )
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as folder:
        root = Path(folder).resolve()
        ours = Path(__file__).parent
        shutil.copytree(ours, root / ours.name, ignore=shutil.ignore_patterns("__pycache__"))
        # Not resolved: an environment's python is a link to one that lacks its libraries.
        yield Interpreter(os.path.abspath(found), str(root))


def versions(python: str | None, libraries: Sequence[str], where: str = "compile.python") -> dict[str, str]:
    """What an interpreter has: {"python": "3.10", library: version}, without the libraries that it lacks.

    Raises:
        ModelkilnError: there is no such interpreter, it is too old, or it is none.
    """
    found = _answer(python, where, "modelkiln.toolchain", *libraries)
    return {str(name): str(version) for name, version in found.items()}


def closure(
    python: str | None, roots: Mapping[str, Sequence[str]], where: str = "compile.python"
) -> dict[str, dict[str, Any]]:
    """All that the roots need, as an interpreter has it; see distributions.closure.

    Raises:
        ModelkilnError: there is no such interpreter, it is too old, or it is none.
    """
    if python is None:
        return distributions.closure(roots)
    return _answer(python, where, "modelkiln.distributions", json.dumps(roots))


def _answer(python: str | None, where: str, module: str, *arguments: str) -> dict[str, Any]:
    """The object that a module prints as JSON when an interpreter runs it."""
    with chosen(python, where) as interpreter:
        command = interpreter.command(module, *arguments)
        try:
            done = subprocess.run(
                command,
                env=interpreter.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            )
            return dict(json.loads(done.stdout))
        except subprocess.TimeoutExpired:
            said = f"it said nothing for {PATIENCE:.0f} s"
        except subprocess.CalledProcessError as error:
            said = "".join(error.stderr.strip().splitlines()[-1:]) or f"it said nothing (exit code {error.returncode})"
        except (OSError, TypeError, ValueError) as error:
            said = one_line(error)
        raise ModelkilnError(f"{where}: {python}: no Python {_oldest()} or newer that can be used: {said}")


def require(python: str | None, libraries: Sequence[str], where: str = "compile.python") -> None:
    """Raises a ModelkilnError that names each library that an interpreter lacks; the pipeline's own is not asked."""
    if python is None:
        return
    found = versions(python, libraries, where)
    lacking = [library for library in libraries if library not in found]
    if lacking:
        raise ModelkilnError(
            f"{where}: {python} lacks {', '.join(lacking)}: install them there, in versions that go with the "
            f"backend's: {python} -m pip install {' '.join(lacking)}"
        )


def _oldest() -> str:
    return ".".join(map(str, OLDEST))
