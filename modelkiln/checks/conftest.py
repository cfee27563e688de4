"""What the checks share: the artifact, the uncompiled model, the texts; each loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import artifact, env, plan, recording, tasks
from modelkiln.artifact import Manifest
from modelkiln.asked import ASKED, Asked
from modelkiln.asked import read as read_asked
from modelkiln.bounds import Bounds
from modelkiln.checks.answers import Answers
from modelkiln.checks.plugin import IDENTITY, OF_THE_SOURCE, RECORD, ROWS, Judge, bounds_of
from modelkiln.checks.uncompiled import Original, Uncompiled
from modelkiln.encoder import Encoder, keep_vectors, load_encoders
from modelkiln.errors import ModelkilnError
from modelkiln.files import sha256
from modelkiln.golden import SHIPPED, Sample, read_registered, read_samples
from modelkiln.lengths import words_of
from modelkiln.recording import Facts, Said
from modelkiln.verdict import EVIDENCE

SAID = pytest.StashKey[Said]()
MOST = 500  # documents of a corpus, where each is compared with all, or is no more evidence than the others

env.keep_libraries_quiet()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A missing option is one line, not an error in every check. What a recording stands for is not run."""
    for option in ("--artifact", "--source"):
        _folder(config, option)
    if recording.is_recording(_folder(config, "--source")):
        taken = [item for item in items if item.get_closest_marker(OF_THE_SOURCE)]
        config.stash[RECORD].take_over(taken, _recording(config).checks)
        items[:] = [item for item in items if item not in taken]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leaves a recording of what the uncompiled model has said, for a machine without it."""
    config, said = session.config, session.config.stash.get(SAID, None)
    reports: Path | None = config.getoption("--reports")
    if said is None or reports is None:
        return
    recording.write(
        reports / EVIDENCE / recording.FOLDER,
        said,
        _folder(config, "--source"),
        golden_path(config),
        corpus_path(config),
        config.getoption("--asked"),
        asdict(bounds_of(config)),
        config.stash[RECORD].of_the_source(),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A check is made for each mode, or for each encoder, of the task where it wants to know which."""
    name = _task(metafunc.config)
    task, modes = tasks.load(name), plan.modes_of(name)
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", range(len(modes)), ids=modes)
    if "corpus_mode" in metafunc.fixturenames:
        if _same_texts(metafunc.config):
            metafunc.parametrize("corpus_mode", [None], ids=[plan.EVERY_MODE])
        else:
            metafunc.parametrize("corpus_mode", range(len(modes)), ids=modes)
    if "encoder_name" in metafunc.fixturenames:
        metafunc.parametrize("encoder_name", task.ENCODERS)


def golden_path(config: pytest.Config) -> Path:
    """The file of golden samples."""
    return Path(config.getoption("--golden") or SHIPPED)


def corpus_path(config: pytest.Config) -> Path:
    """The file of documents to judge by; the golden samples', where no other is named."""
    return Path(config.getoption("--corpus") or golden_path(config))


def _same_texts(config: pytest.Config) -> bool:
    """Whether the corpus is the golden samples, in whatever file."""
    golden, corpus = golden_path(config), corpus_path(config)
    return golden == corpus or (golden.is_file() and corpus.is_file() and sha256(golden) == sha256(corpus))


def _task(config: pytest.Config) -> str:
    """The artifact's task; of an artifact that can't be read, any: the check of its bytes will say so."""
    try:
        name = artifact.read_manifest(_folder(config, "--artifact")).task
        tasks.load(name)
        return name
    except (ModelkilnError, pytest.UsageError):
        return "keywords"


def _recording(config: pytest.Config) -> recording.Recording:
    try:
        return recording.read(_folder(config, "--source"))
    except ModelkilnError as error:
        raise pytest.UsageError(f"--source: {error}") from error


def _folder(config: pytest.Config, option: str) -> Path:
    folder: Path | None = config.getoption(option)
    if folder is None or not folder.is_dir():
        raise pytest.UsageError(f"{option}: {f'no folder {folder}' if folder else 'is missing'}; see `pytest --help`")
    return folder


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config) -> Path:
    """The artifact."""
    return _folder(pytestconfig, "--artifact")


@pytest.fixture(scope="session")
def source(pytestconfig: pytest.Config) -> Path:
    """The uncompiled model."""
    return _folder(pytestconfig, "--source")


@pytest.fixture(scope="session")
def bounds(pytestconfig: pytest.Config) -> Bounds:
    """What figures are held to."""
    return bounds_of(pytestconfig)


@pytest.fixture(scope="session")
def manifest(folder: Path, pytestconfig: pytest.Config) -> Manifest:
    """The manifest of the verified artifact."""
    verified = artifact.verify(folder)
    pytestconfig.stash[IDENTITY].update(artifact=verified.digest, source=verified.source)
    return verified


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> list[Sample]:
    """The golden samples, which are registered with the model."""
    path = golden_path(pytestconfig)
    pytestconfig.stash[IDENTITY]["golden"] = sha256(path)
    return read_samples(path)


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> list[Sample]:
    """The documents to judge by."""
    path = corpus_path(pytestconfig)
    pytestconfig.stash[IDENTITY]["corpus"] = sha256(path)
    return read_samples(path, "the corpus")


@pytest.fixture(scope="session", autouse=True)
def counts(golden: list[Sample], corpus: list[Sample], source: Path, pytestconfig: pytest.Config) -> None:
    """What decides which checks apply goes into the verdict; see plan.COUNTS."""
    registered = read_registered(source / "golden")
    pytestconfig.stash[IDENTITY]["counts"] = {
        "documents": len(_documents(golden, corpus)),
        "words": len(words_of([sample.text for sample in golden])),
        "graded": sum(bool(sample.keywords) for sample in corpus),
        "registered": len(registered.inputs) if registered else 0,
    }


@pytest.fixture(scope="session")
def asked(source: Path, pytestconfig: pytest.Config) -> Asked | None:
    """What compile was asked for; None where nobody says so."""
    path: Path | None = pytestconfig.getoption("--asked")
    if path is None and recording.is_recording(source) and (source / ASKED).exists():
        path = source / ASKED
    return read_asked(path) if path else None


@pytest.fixture(scope="session")
def texts(golden: list[Sample]) -> list[str]:
    """The golden samples' texts."""
    return [sample.text for sample in golden]


@pytest.fixture(scope="session")
def documents(golden: list[Sample], corpus: list[Sample]) -> list[str]:
    """The golden samples' texts and the corpus's, as many as are worth it; each once."""
    return _documents(golden, corpus)


def _documents(golden: list[Sample], corpus: list[Sample]) -> list[str]:
    return [*dict.fromkeys(sample.text for sample in (*golden, *corpus[:MOST]))]


@pytest.fixture(scope="session")
def load(folder: Path, manifest: Manifest, pytestconfig: pytest.Config, uncompiled: Any) -> Callable[[float], Any]:
    """Loads the compiled model, with so many megabytes of cache; in a rehearsal the uncompiled one is its graph."""

    def loaded(cache_mb: float) -> Any:
        if not pytestconfig.getoption("--without-device"):
            return modelkiln.load(folder, cache_mb=cache_mb)
        task = tasks.load(manifest.task)
        encoders = load_encoders(folder, manifest, run=uncompiled.run)
        keep_vectors({name: encoders[name] for name in task.RECURRING}, manifest, cache_mb, None)
        return task.build(encoders, folder)

    return loaded


@pytest.fixture(scope="session")
def predictor(load: Callable[[float], Any]) -> Any:
    """The compiled model, loaded as serving loads it."""
    return load(64)


@pytest.fixture(scope="session")
def forgetful(load: Callable[[float], Any]) -> Any:
    """The compiled model, without a cache: what it says of a text twice, it has computed twice."""
    return load(0)


@pytest.fixture
def encoder(encoder_name: str, forgetful: Any) -> Encoder:
    """Each of the compiled encoders, without a cache."""
    found: Encoder = getattr(forgetful, encoder_name)
    return found


@pytest.fixture
def distinct_encoder(encoder_name: str, encoder: Encoder, manifest: Manifest, judge: Judge) -> Encoder:
    """Each of the compiled encoders that differ: in their graph, their tokenizer or their length."""
    if other := plan.same_encoder(manifest, encoder_name):
        judge.not_applicable(f"the same graph, tokenizer and length as encoder {other}")
    return encoder


@pytest.fixture(scope="session")
def uncompiled(source: Path, pytestconfig: pytest.Config) -> Iterator[Any]:
    """The uncompiled model's vectors and answers; or what was recorded of them."""
    if recording.is_recording(source):
        yield _recording(pytestconfig)
        return
    model = Uncompiled(source, pytestconfig.getoption("--remember"))
    pytestconfig.stash[SAID] = model.said
    yield model
    model.save()


@pytest.fixture(scope="session")
def facts(uncompiled: Original, manifest: Manifest) -> Facts:
    """What the uncompiled model is."""
    return uncompiled.facts(tasks.load(manifest.task))


@pytest.fixture(scope="session")
def answers(manifest: Manifest, predictor: Any, uncompiled: Any) -> Answers:
    """Both models' answers; each mode and document is asked for once."""
    return Answers(tasks.load(manifest.task), uncompiled, predictor)


@pytest.fixture(scope="session")
def evidence(pytestconfig: pytest.Config) -> dict[str, list[Any]]:
    """Rows for the plots and the report."""
    return pytestconfig.stash[ROWS]
