"""What sweeps cost beyond what their cells do, by both engines, in a project whose stages do nothing.

And what grows with the number of experiments: git's refs, DVC's list of them, its run-cache. See docs/sweeps.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.transfers import timed
from modelkiln.errors import ModelkilnError
from modelkiln.progress import step, track
from modelkiln.sweep import attempt, attempts, on_ray, shell
from modelkiln.sweep.attempt import Job, experiments_at, reference
from modelkiln.sweep.cells import Cell, all_cells, options

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
WORKERS = 2
# Each stage writes a line, and depends on its own params and on what the stage before it has written.
PIPELINE = """\
stages:
  download: {cmd: echo > download.txt, params: [download], outs: [download.txt]}
  compile: {cmd: echo > compile.txt, params: [compile], deps: [download.txt], outs: [compile.txt]}
  validate: {cmd: echo > validate.txt, params: [validate], deps: [compile.txt], outs: [validate.txt]}
  upload: {cmd: echo > upload.txt, params: [upload], deps: [validate.txt], outs: [upload.txt]}
"""
COPIED = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "params.yaml")
MADE_UP = "made-up"


def measure_sweeps(rounds: int, cells: int, experiments: int) -> dict[str, Any]:
    """The figures, in seconds.

    Args:
        rounds: Of `dvc repro`s with nothing to do, ours and an empty pipeline's in turns.
        cells: That each engine runs, two at a time; a multiple of the models and variants there are.
        experiments: That a commit has already, where what grows with their number is measured.

    Raises:
        ModelkilnError: the pipeline in the working folder has something to run, or a sweep failed.
    """
    few = len(options("model", CONF)) * len(options("variant", CONF))
    anywhere = [name for name in options("backend", CONF) if name not in on_ray.PLACES]  # on any node
    chosen = all_cells(options("model", CONF), backends=anywhere[: cells // few], conf=CONF)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        os.environ["MODELKILN_CACHE"] = f"{scratch}/cache"
        folder = Path(scratch)
        noop = _noop(Path.cwd(), _project(folder / "empty"), rounds)
        engines = {"dvc": _sweep("dvc", chosen, _project(folder / "queue"))}
        if find_spec("ray"):
            engines["ray"] = _sweep("ray", chosen, _project(folder / "ray"))
        numbers = (0, experiments // 10, experiments)
        grown = [_grown(_project(folder / f"with-{number}"), number, chosen) for number in numbers]
    return {"noop": noop, "cells": len(chosen), "workers": WORKERS, "engines": engines, "grown": grown}


def _project(folder: Path) -> Path:
    """A project with the real conf/ and stages that do nothing; committed, and nothing has run."""
    shutil.copytree(CONF, folder / "conf")
    (folder / ".dvc" / "cache").mkdir(parents=True)  # or cells in clones would not share it
    for name in COPIED:
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    with (folder / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("/*.txt\n")
    shell.run("git", "init", "-q", folder=folder)
    shell.run("git", "config", "user.email", "benchmark@example.org", folder=folder)
    shell.run("git", "config", "user.name", "benchmark", folder=folder)
    shell.run("git", "add", ".", folder=folder)
    shell.run("git", "commit", "-qm", "the project", folder=folder)
    return folder


def _noop(project: Path, empty: Path, rounds: int) -> dict[str, Any]:
    shell.dvc("repro", folder=empty)
    if "Running stage" in shell.dvc("repro", "--dry", folder=project):
        raise ModelkilnError("the pipeline has something to run: `make repro` first")
    ours: list[float] = []
    theirs: list[float] = []
    for turn in track(range(rounds), "rounds of `dvc repro`", rounds):
        for found, folder in [(theirs, empty), (ours, project)][:: -1 if turn % 2 else 1]:
            found.append(timed(lambda folder=folder: shell.dvc("repro", folder=folder)))  # type: ignore[misc]
    ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
    return {"rounds": rounds, "ours": median(ours), "empty": median(theirs), "ratio": ratio}


def _sweep(engine: str, cells: list[Cell], project: Path) -> dict[str, Any]:
    """How long the sweep takes, in all and for each cell, and how many cells came to nothing."""
    command = [sys.executable, "-m", "modelkiln.cli", "sweep", "--engine", engine, "--workers", str(WORKERS)]
    for group in ("model", "variant", "backend"):
        command += [f"--{group}", ",".join(dict.fromkeys(getattr(cell, group) for cell in cells))]
    with step(f"{len(cells)} cells by {engine}"):
        took = timed(lambda: subprocess.run(command, cwd=project, stderr=subprocess.DEVNULL, check=True))
    made = experiments_at(str(project), shell.run("git", "rev-parse", "HEAD", folder=project).strip())
    tried = attempts.read(project / attempts.TABLE)
    done = [each.seconds for each in tried if each.outcome == attempts.DONE]
    steps = {name: median(each[name] for each in done) for name in (done[0] if done else ())}
    failed = sum(cell.name not in made for cell in cells)
    return {"seconds": took, "a_cell": took * WORKERS / len(cells), "failed": failed, "steps": steps}


def _grown(project: Path, number: int, cells: list[Cell]) -> dict[str, Any]:
    """What it takes where a commit has so many experiments, and the run-cache as many runs."""
    first, second, *_ = cells
    commit = shell.run("git", "rev-parse", "HEAD", folder=project).strip()
    job = Job(first.name, first.arguments, str(project), commit, str(project / ".dvc" / "cache"))
    if reason := attempt.start(job).reason:
        raise ModelkilnError(reason)
    with step(f"making up {number} experiments"):
        _make_up(project, reference(commit, first.name), number)
    remote = project.with_suffix(".remote")
    shell.dvc("remote", "add", "--default", "there", str(remote), folder=project)
    bare = project.with_suffix(".git")
    shell.run("git", "init", "-q", "--bare", str(bare))
    push = ("exp", "push", str(bare), reference(commit, first.name))
    seconds = {
        "for_each_ref": timed(lambda: shell.run("git", "for-each-ref", "refs/exps", folder=project)),
        "ls_remote": timed(lambda: experiments_at(str(project), commit)),
        "first_show": timed(lambda: shell.dvc("exp", "show", "--json", folder=project)),
        "show_again": timed(lambda: shell.dvc("exp", "show", "--json", folder=project)),
        "attempt": timed(lambda: attempt.start(replace(job, name=second.name, arguments=second.arguments))),
        "push": timed(lambda: shell.dvc(*push, folder=project)),
        "push_run_cache": timed(lambda: shell.dvc(*push, "--run-cache", folder=project)),
    }
    runs = sum(path.is_file() for path in (remote / "runs").rglob("*"))
    return {"experiments": number + 1, "runs": runs, "seconds": seconds}


def _make_up(project: Path, like: str, number: int) -> None:
    """Commits that have the tree of a real experiment, and runs that are copies of a real one."""
    tree = shell.run("git", "rev-parse", f"{like}^{{tree}}", folder=project).strip()
    base = shell.run("git", "rev-parse", "HEAD", folder=project).strip()
    person = "benchmark <benchmark@example.org> 1700000000 +0000"
    stream = "".join(
        f"commit {reference(base, f'{MADE_UP}-{each}')}\ncommitter {person}\ndata <<E\n{each}\nE\n"
        f'from {base}\nM 040000 {tree} ""\n\n'
        for each in range(number)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=project, input=stream.encode(), check=True)
    runs = project / ".dvc" / "cache" / "runs"
    real = next(path for path in runs.rglob("*") if path.is_file())
    for each in range(number):
        key = f"{each:064x}"[::-1]
        (runs / key[:2] / key).mkdir(parents=True)
        shutil.copy(real, runs / key[:2] / key / real.name)
