"""Uncompiled model in, sealed artifact out; the compiling itself is done by a worker process (worker.py)."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelkiln import artifact, backends, interpreter, sbom, tasks, toolchain
from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json, staged_folder, to_json, write_text
from modelkiln.params import Compile, options
from modelkiln.progress import step
from modelkiln.sources import REVISION


def compile_artifact(source: Path, dest: Path, params: Compile, versions: dict[str, str]) -> artifact.Manifest:
    """Compiles the model in `source` into the artifact `dest`, which appears whole or not at all.

    Args:
        source: What the download stage wrote.
        dest: Replaced if it exists.
        params: The compile section.
        versions: The toolchain that must be the worker's, {library: version}.

    Raises:
        ModelkilnError: the model, the params, the toolchain or the interpreter do not allow it.
    """
    revision = read_json(source / REVISION, "the source's revision")
    task = tasks.load(params.task)
    # The worker sees to what its own interpreter has; the task's libraries are used here.
    ours = {library: version for library, version in versions.items() if library in task.LIBRARIES}
    toolchain.check(ours)
    # What the checks need too: a compile takes minutes, and its artifact would be of no use.
    interpreter.require(params.python, [*toolchain.WORKER, *toolchain.CHECKS])
    backend = backends.load(params.backend)
    serving = sbom.roots(backend.RUNTIME)
    theirs = {library: version for library, version in versions.items() if library not in ours}
    backend_options = asdict(options("backends", params.backend, params.options, "compile.options"))
    with staged_folder(dest) as folder:
        with step(f"compiling {revision['model']} for {params.backend} {params.precision}"):
            reply = _work(source, folder, params, backend_options, theirs, serving)
        for name, text in task.resources().items():
            write_text(folder / "task" / name, text)
        about = {"backend": params.backend, "precision": params.precision, "task": params.task}
        listed = sbom.render(revision["model"], revision["revision"], about, versions["python"], reply["serving"])
        write_text(folder / artifact.SBOM, listed)
        manifest = artifact.Manifest(
            format=artifact.FORMAT,
            task=params.task,
            backend=params.backend,
            precision=params.precision,
            options=backend_options,
            encoders={name: artifact.EncoderSpec(**spec) for name, spec in reply["encoders"].items()},
            dimension=reply["dimension"],
            pad_id=reply["pad_id"],
            source={key: value for key, value in revision.items() if key != "files"},
            toolchain=versions,
            machine=backend.MACHINE,
            files={},
        )
        sealed = artifact.seal(folder, manifest)
        backends.require_whole(folder, sealed)
        return sealed


def _work(
    source: Path,
    folder: Path,
    params: Compile,
    backend_options: dict[str, Any],
    versions: dict[str, str],
    serving: dict[str, list[str]],
) -> Any:
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        request, reply = Path(scratch) / "request.json", Path(scratch) / "reply.json"
        asked = {
            "source": str(source.resolve()),
            "folder": str(folder.resolve()),
            "reply": str(reply),
            "backend": params.backend,
            "options": backend_options,
            "precision": params.precision,
            "max_batch": params.max_batch,
            "encoders": {name: envelope.max_length for name, envelope in params.encoders.items()},
            "vocabulary": params.vocabulary,
            "words": str(Path(params.words).resolve()) if params.words else None,
            "toolchain": versions,
            "serving": serving,
        }
        write_text(request, to_json(asked))
        with interpreter.chosen(params.python) as python:
            command = python.command("modelkiln.worker", str(request))
            done = subprocess.run(command, env=python.environment(), check=False)
        answer = json.loads(reply.read_text(encoding="utf-8")) if reply.exists() else {}
        if "error" in answer:
            raise ModelkilnError(answer["error"])
        if done.returncode:
            raise RuntimeError(f"the compile worker failed with exit code {done.returncode}; its output stands above")
        return answer
