"""A peer's process, seen from the one that measures: started, asked one thing at a time, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln.errors import one_line

SCRIPT = Path(__file__).parent / "peer.py"
# What the libraries that compute read their number of threads from, once, when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class PeerError(Exception):
    """A peer can't go on: its library is missing, or it crashed. Says why in one line."""


@dataclass(frozen=True, eq=False)
class Peer:
    """Something that is measured."""

    name: str
    config: dict[str, Any]  # for peer.py: its kind and settings, and the threads
    files: tuple[Path, ...] = ()  # what it loads, for their size
    python: str = sys.executable
    root: str | None = None  # the folder where another interpreter finds this modelkiln
    documents: int | None = None  # measure it on the first so many only, because it is slow
    rounds: int | None = None  # and in the first so many rounds only
    warm: bool = False  # measure it on the second half of the documents, after the first half

    @property
    def threads(self) -> int:
        """How many it may use; 0: as many as its libraries choose."""
        return int(self.config["threads"])


class Process:
    """A peer's running process."""

    def __init__(self, peer: Peer, text: str) -> None:
        """Starts it. `load_s`: seconds from there until it is loaded; `first_s`: until the keywords of `text`."""
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (end() closes it)
        started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                [peer.python, str(SCRIPT), json.dumps(peer.config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                env=environment(peer.python, peer.threads, peer.root),
            )
        except OSError as error:
            self._errors.close()
            raise PeerError(f"can't start {peer.python}: {error.strerror}") from error
        try:
            self.peak_mb()
            self.load_s = time.perf_counter() - started
            self.extract([text], (1, 1))
            self.first_s = time.perf_counter() - started
            self.first_peak_mb = self.peak_mb()
            about = self.ask({"op": "about"})
        except BaseException:
            self.end()
            raise
        self.versions: dict[str, str] = about["versions"]

    def extract(self, texts: Sequence[str], ngrams: tuple[int, int], together: bool = False) -> dict[str, Any]:
        """`seconds` of each call, and `keywords` of each text."""
        reply = self.ask({"op": "extract", "texts": list(texts), "ngrams": ngrams, "together": together})
        return {**reply, "keywords": [[(keyword, score) for keyword, score in each] for each in reply["keywords"]]}

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def peak_mb(self) -> float:
        """The most memory that it had at a time, since its start or the last reset_peak."""
        return float(self.ask({"op": "peak"})["peak_mb"])

    def ask(self, request: dict[str, Any]) -> Any:
        """The reply to a request; a PeerError where there is none."""
        requests: Any = self._process.stdin
        replies: Any = self._process.stdout
        line = ""
        try:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = replies.readline()
            return json.loads(line)
        except (BrokenPipeError, ValueError):
            if line.endswith("\n"):  # it lives, and says something else
                raise PeerError(f"not a reply: {one_line(line)!r}") from None
            code = self._process.wait()  # it is gone: no line, or a part of one
            self._errors.seek(0)
            said = [line for line in self._errors.read().splitlines() if line.strip()]
            raise PeerError(f"{one_line(said[-1]) if said else 'it said nothing'} (exit code {code})") from None

    def end(self) -> None:
        """Ends it, whatever it is doing."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def environment(python: str, threads: int, root: str | None = None) -> dict[str, str]:
    """The environment for a process that is measured: offline, with so many threads, with this modelkiln or none.

    0 threads: whatever the libraries choose by themselves, here. `root`: where another interpreter finds modelkiln.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if root:
        kept["PYTHONPATH"] = root
    elif python == sys.executable:
        root = str(Path(__file__).parents[2])
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    limits = dict.fromkeys(THREADS, str(threads))
    limits["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    # Safe path: the script's own folder must not hide the libraries' modules.
    ours = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}
    return {**kept, **(limits if threads else {}), **ours}
