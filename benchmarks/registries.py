"""What it costs to register an artifact and to fetch it: each registry, against a plain copy of the same bytes.

Each measurement is a process of its own, as the upload stage is one. Beside ours stands what the registry's own client
takes for the same files: the rest is what it costs to know that the version is whole and right.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import track

ROOT = Path(__file__).parents[1]
SCRIPT = Path(__file__).parent / "registry_transfer.py"
SERVERS = ROOT / "tests" / "servers.py"
COPY = "plain copy"
STEPS = ("upload", "again", "download", "client upload", "client download")


def measure_registries(artifact: Path, rounds: int) -> dict[str, Any]:
    """Of each registry and step the seconds and the peak memory in MB, medians over the rounds, and times a plain copy.

    Raises:
        ModelkilnError: a server or a transfer failed.
    """
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch, ExitStack() as servers:
        folder = Path(scratch)
        places = {
            "mlflow, embedded": ("mlflow", {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}),
            "mlflow, server": ("mlflow", servers.enter_context(server("mlflow", folder / "mlflow"))),
            "neptune": ("neptune", servers.enter_context(server("neptune", folder / "neptune"))),
        }
        found: dict[tuple[str, str], list[dict[str, float]]] = {}
        for turn in track(range(rounds), "rounds of uploads and downloads", rounds):
            found.setdefault((COPY, "copy"), []).append(_transfer("copy", "", artifact, folder, turn, {}))
            for place, (registry, environment) in places.items():
                for step in STEPS:
                    done = _transfer(step, registry, artifact, folder / place, turn, environment)
                    found.setdefault((place, step), []).append(done)
    files = [path.stat().st_size for path in artifact.rglob("*") if path.is_file()]
    copies = [each["seconds"] for each in found[COPY, "copy"]]
    rows = [
        {
            "place": place,
            "step": step,
            **{name: median(each[name] for each in all_) for name in all_[0]},
            "times_copy": median(each["seconds"] / copy for each, copy in zip(all_, copies, strict=True)),
        }
        for (place, step), all_ in found.items()
    ]
    return {"rows": rows, "rounds": rounds, "files": len(files), "mb": sum(files) / 1e6}


def _transfer(
    step: str, registry: str, artifact: Path, folder: Path, turn: int, environment: Mapping[str, str]
) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    plan = {"step": step, "registry": registry, "artifact": str(artifact.resolve()), "name": f"BENCH{turn}"}
    plan |= {"dest": str(folder / f"{step}-{turn}"), "result": str(folder / "result.json")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(plan)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=folder,
    )
    if done.returncode:
        raise ModelkilnError(f"{registry}: {step}: {one_line(done.stderr[-500:])} (exit code {done.returncode})")
    result: dict[str, float] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result


@contextmanager
def server(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of the clients of a server that runs until the block ends."""
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(SERVERS), name, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ModelkilnError(f"{name}: its server did not start; see what it said above")
        yield json.loads(line)  # then its standard input is closed
