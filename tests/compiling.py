"""What the stages download and compile do, for tests: by themselves, or in the test's own process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from imports import ROOT

from modelkiln import ModelkilnError, backends, compiler, params, plugins, sources, toolchain
from modelkiln.artifact import read_manifest
from modelkiln.asked import Asked, as_if_asked
from modelkiln.backends import aotinductor, openvino
from modelkiln.compiler import compile_artifact
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.params import Compile, Download, Envelope


def fetch_local(folder: Path, dest: Path, name: str) -> Path:
    """What the download stage does, from a folder."""
    download = Download(name, "base", "local", {"local": {"path": str(folder)}})
    with staged_folder(dest) as partial:
        write_text(partial / sources.REVISION, to_json(asdict(sources.fetch(download, partial))))
    return dest


# Every backend that needs no device, in every precision that it has; what loses something stands apart.
ALL = [
    (name, precision)
    for name in plugins.known("backends")
    if not backends.load(name).DEVICE
    for precision in backends.load(name).PRECISIONS
]
EXACT = [each for each in ALL if each[1] == "fp32"]
LOSSY = [each for each in ALL if each[1] != "fp32"]


def compile_for(
    backend: str,
    source: Path,
    dest: Path,
    max_length: int,
    max_batch: int = 8,
    vocabulary: str | None = None,
    words: Path | None = None,
    precision: str = "fp32",
) -> Path:
    """What the compile stage does."""
    encoders = {"document": Envelope(max_length), "word": Envelope(max_length)}
    params = Compile("keywords", encoders, backend, precision, max_batch, vocabulary, str(words) if words else None)
    compile_artifact(source, dest, params, toolchain.read([backend, "keywords"], ROOT / "toolchain.yaml"))
    return dest


def compile_here(*arguments: Any, **options: Any) -> Path:
    """compile_for, with the worker's own main() in this process, which has torch already: a start takes seconds."""
    from modelkiln import worker

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, worker.main(command[-1:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "subprocess", SimpleNamespace(run=run))
        return compile_for(*arguments, **options)


def skip_where_absent(backend: str, precision: str = "fp32") -> None:
    """Skips the test, with the reason, where this machine lacks what the backend needs for that precision."""
    libraries = backends.load(backend).LIBRARIES
    absent = sorted(set(libraries) - set(toolchain.installed(libraries)))
    if absent:
        pytest.skip(f"{backend} needs {', '.join(absent)}")
    try:
        if backend == "aotinductor":
            aotinductor.find_compiler()
        if backend == "openvino":
            openvino.find_core(precision)
    except ModelkilnError as error:
        pytest.skip(str(error))


def asked_of(artifact: Path) -> Asked:
    """What the artifact says that it was asked for, so that whoever judges it has something to hold it to."""
    return as_if_asked(artifact, read_manifest(artifact))


def compile_generic(source: Path, dest: Path, max_length: int, max_batch: int = 8) -> Path:
    """What the compile stage does, with the backend `generic`."""
    return compile_for("generic", source, dest, max_length, max_batch)


@contextmanager
def options_of(**given: Any) -> Iterator[None]:
    """What is compiled in the block is compiled with these options of the backend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "options", lambda kind, name, _values, where: params.options(kind, name, given, where))
        yield


def compile_simulated(backend: str, source: Path, dest: Path, **options: Any) -> Path:
    """`neuron` or `neuronx` in bf16, by the simulator."""
    with options_of(**{"simulated": True, "lengths": [8, 16], "batch": 2, **options}):
        return compile_here(backend, source, dest, 48, precision="bf16")
