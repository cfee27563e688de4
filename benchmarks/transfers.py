"""What `dvc push` and `dvc pull` of the default project take, beside a plain copy of the same bytes.

Into a folder, beside a copy of the files; and into an S3 server on this machine, beside boto3, file after file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.registries import server
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import track
from modelkiln.sweep import shell

BUCKET = "kiln"
# Each with the plain copy that it stands beside.
STEPS = {"push": "copy there", "push again": "copy there", "pull": "copy back"}

Seconds = dict[str, float]


def measure_transfers(rounds: int) -> dict[str, Any]:
    """Of each kind of remote and step the seconds, medians over the rounds, and times the plain copy beside it.

    Raises:
        ModelkilnError: the project's outputs are not all in its cache, or a transfer failed.
    """
    found: dict[str, list[Seconds]] = {"folder": [], "S3": []}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch, server("s3", Path(scratch) / "server") as clients:
        project = _clone(Path.cwd(), Path(scratch) / "project", Path(shell.dvc("cache", "dir").strip()))
        sizes: list[int] = []
        for turn in track(range(rounds), "rounds of pushes and pulls", rounds):
            folder = Path(scratch) / str(turn)
            folder.mkdir()
            remote = folder / "remote"
            found["folder"].append(_dvc(project, str(remote), folder / "by-folder") | _copy(remote, folder))
            with patch.dict(os.environ, clients):
                by_s3 = _dvc(project, f"s3://{BUCKET}/{turn}", folder / "by-s3")
                found["S3"].append(by_s3 | _boto3(remote, f"plain-{turn}", folder / "fetched"))
            sizes = [path.stat().st_size for path in _files(remote)]
            shutil.rmtree(folder)
    rows = [{"remote": name, "step": step, **_beside(each, step)} for name, each in found.items() for step in STEPS]
    return {"rows": rows, "rounds": rounds, "files": len(sizes), "mb": sum(sizes) / 1e6}


def _beside(rounds: list[Seconds], step: str) -> Seconds:
    copy = STEPS[step]
    return {
        "seconds": median(each[step] for each in rounds),
        "copy_seconds": median(each[copy] for each in rounds),
        "times_copy": median(each[step] / each[copy] for each in rounds),
    }


def _clone(project: Path, folder: Path, cache: Path | None) -> Path:
    """With nothing in its workspace, so that `dvc push` takes what dvc.lock names."""
    shell.run("git", "clone", "-q", "--shared", str(project), str(folder))
    if cache:
        shell.dvc("cache", "dir", "--local", str(cache), folder=folder)
    return folder


def _dvc(project: Path, remote: str, other: Path) -> Seconds:
    """`other`: the folder for a clone that has no cache."""
    _clone(project, other, None)
    for folder in (project, other):
        shell.dvc("remote", "add", "--local", "--force", "--default", "measured", remote, folder=folder)
    return {
        "push": timed(lambda: shell.dvc("push", folder=project)),
        "push again": timed(lambda: shell.dvc("push", folder=project)),
        "pull": timed(lambda: shell.dvc("pull", folder=other)),
    }


def _copy(remote: Path, folder: Path) -> Seconds:
    return {
        "copy there": timed(lambda: shutil.copytree(remote, folder / "there")),
        "copy back": timed(lambda: shutil.copytree(folder / "there", folder / "back")),
    }


def _boto3(files: Path, prefix: str, to: Path) -> Seconds:
    """In a process of its own, as `dvc push` is one."""
    script = (
        "import sys, pathlib, boto3\n"
        "step, folder, bucket, prefix = sys.argv[1:]\n"
        "client, folder = boto3.client('s3'), pathlib.Path(folder)\n"
        "if step == 'copy there':\n"
        "    for path in (each for each in folder.rglob('*') if each.is_file()):\n"
        "        client.upload_file(str(path), bucket, f'{prefix}/{path.name}')\n"
        "else:\n"
        "    for page in client.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=prefix):\n"
        "        for each in page['Contents']:\n"
        "            client.download_file(bucket, each['Key'], str(folder / each['Key'].rpartition('/')[2]))\n"
    )
    to.mkdir()

    def run(step: str, folder: Path) -> None:
        command = [sys.executable, "-c", script, step, str(folder), BUCKET, prefix]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ModelkilnError(f"boto3, {step}: {one_line(done.stderr[-500:])}")

    return {
        "copy there": timed(lambda: run("copy there", files)),
        "copy back": timed(lambda: run("copy back", to)),
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def timed(work: Callable[[], object]) -> float:
    """How long the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
