"""params.yaml -> frozen dataclasses, one per stage, with every mistake in the file reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import plugins, schema
from modelkiln.bounds import Bounds
from modelkiln.errors import ModelkilnError, one_line, raise_all

PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Download:
    """Which uncompiled model, where from, and what its files must be."""

    model: str  # its name, for people
    variant: str  # `base`: public weights; `trained`: from a registry
    source: str  # a module of modelkiln/sources
    sources: dict[str, dict[str, Any]]  # each source's options; only the chosen one's are used
    # path: sha256; only these files are taken. None: all, since the source vouches for them by a digest
    files: dict[str, str | None] | None = None


@dataclass(frozen=True)
class Envelope:
    """The inputs that an encoder's graph must be right for."""

    max_length: int  # tokens in a text, special tokens included

    def __post_init__(self) -> None:
        _at_least(3, max_length=self.max_length)


@dataclass(frozen=True)
class Compile:
    """What to compile the model into, and for which inputs."""

    task: str  # a module of modelkiln/tasks
    encoders: dict[str, Envelope]  # the task's encoders
    backend: str  # a module of modelkiln/backends
    precision: str  # of the compiled weights and arithmetic
    max_batch: int  # texts in one call of a graph
    vocabulary: str | None = None  # the encoder whose tokenizer's whole words are encoded at compile time, or none
    words: str | None = None  # a file of the user's own words, encoded with them: a list, or a JSONL corpus
    options: dict[str, Any] = field(default_factory=dict)  # the backend's own
    python: str | None = None  # the interpreter that compiles: a path, or a command on PATH; None: the pipeline's own

    def __post_init__(self) -> None:
        _at_least(1, max_batch=self.max_batch)
        if self.vocabulary is not None and self.vocabulary not in self.encoders:
            raise ValueError(f"vocabulary: no encoder {self.vocabulary!r}; it has {', '.join(self.encoders)}, or null")


@dataclass(frozen=True)
class Validate:
    """By which texts the compiled model is judged, and how far its answers may be from the uncompiled model's."""

    bounds: Bounds
    golden: str  # a JSONL file of golden samples, id and text on each line; registered with the model
    corpus: str  # a JSONL file of documents, id, text, and keywords where there are gold ones; may be the golden one
    profile_rounds: int  # how often both models are started and measured in turns; 0: the speed is not measured
    python: str | None = None  # the interpreter that judges, and is measured; conf/ takes it from compile.python

    def __post_init__(self) -> None:
        _at_least(0, profile_rounds=self.profile_rounds)


@dataclass(frozen=True)
class Upload:
    """Where the compiled model is registered, and under which name."""

    registry: str  # a module of modelkiln/registries
    project: str  # groups versions in the registry, such as an MLflow experiment
    name: str  # of the registered model
    alias: str  # moves to the new version once that is complete
    reports: str = "reports/validation"  # the folder with the verdict: this, or what `modelkiln verify` left
    test_registry: bool = False  # nobody serves from it, so it takes what a simulator compiled
    remote: str | None = None  # the DVC remote that holds the run's files, for the lineage
    options: dict[str, Any] = field(default_factory=dict)  # the registry's own

    def __post_init__(self) -> None:
        for name in ("name", "alias"):
            if not re.fullmatch(schema.REGISTERED_NAME, getattr(self, name)):
                raise ValueError(
                    f"{name} may have letters, digits, dots, dashes and underscores, found {getattr(self, name)!r}"
                )
        if not self.project.strip():
            raise ValueError("project may not be empty")


@dataclass(frozen=True)
class Params:
    """All of params.yaml."""

    download: Download
    compile: Compile
    validate: Validate
    upload: Upload


def load(path: Path = PARAMS) -> Params:
    """The params of a file.

    Raises:
        ModelkilnError: the file is missing or wrong; lists each unknown key, wrong type, unknown plug-in, bad option.
    """
    import yaml  # here: what judges by a recording does without it

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelkilnError(
            f"{path}: {error.strerror}; run from the project's folder, or `modelkiln compose`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelkilnError(f"{path}: no YAML: {one_line(error)}") from error
    return from_data(data, str(path))


def from_data(data: Any, origin: str) -> Params:
    """The params in `data`, as YAML gives it; `origin` names it in the error. See load()."""
    mistakes: list[str] = []
    params = schema.parse(Params, data, "", mistakes)
    if isinstance(data, Mapping):
        _check_plugins(data, mistakes)
    raise_all(origin, mistakes)
    assert isinstance(params, Params)  # noqa: S101 (raise_all has raised otherwise)
    return params


def options(kind: str, name: str, values: Mapping[str, Any], where: str = "options") -> Any:
    """The options of a plug-in as an instance of its Options; a ModelkilnError lists what is wrong with them."""
    mistakes: list[str] = []
    parsed = schema.parse(plugins.load(kind, name).Options, values, where, mistakes)
    raise_all(f"{plugins.KINDS[kind]} {name!r}", mistakes)
    return parsed


def source_options(download: Download) -> Any:
    """The options of the chosen source."""
    return options("sources", download.source, download.sources.get(download.source, {}), "download.sources")


def _check_plugins(data: Mapping[str, Any], mistakes: list[str]) -> None:
    """Looks at each plug-in that the raw data names, so that these mistakes are found beside the others."""
    download, compile_, upload = (_section(data, name) for name in ("download", "compile", "upload"))
    sources = _section(download, "sources")
    mistakes += [
        f"download.sources.{name}: unknown source{plugins.suggest(name, plugins.known('sources'))}"
        for name in sources
        if name not in plugins.known("sources")
    ]
    source = download.get("source")
    if source in plugins.known("sources") and source not in sources:
        mistakes.append(
            f"download.sources.{source}: is missing; {download.get('model')} has options for: {', '.join(sources)}"
        )
    elif isinstance(source, str) and _plugin("sources", source, "download.source", mistakes):
        schema.parse(_options("sources", source), sources[source], f"download.sources.{source}", mistakes)
    if _plugin("registries", upload.get("registry"), "upload.registry", mistakes):
        schema.parse(_options("registries", upload["registry"]), upload.get("options", {}), "upload.options", mistakes)
    if _plugin("tasks", compile_.get("task"), "compile.task", mistakes):
        expected = list(plugins.load("tasks", compile_["task"]).ENCODERS)
        if sorted(_section(compile_, "encoders")) != sorted(expected):
            mistakes.append(f"compile.encoders: task {compile_['task']!r} has the encoders {', '.join(expected)}")
    if _plugin("backends", compile_.get("backend"), "compile.backend", mistakes):
        backend = plugins.load("backends", compile_["backend"])
        schema.parse(backend.Options, compile_.get("options", {}), "compile.options", mistakes)
        if compile_.get("precision") not in backend.PRECISIONS:
            offer = plugins.suggest(str(compile_.get("precision")), backend.PRECISIONS)
            mistakes.append(
                f"compile.precision: unknown for {compile_['backend']}: {compile_.get('precision')!r}{offer}"
            )
        elif compile_["precision"] in backend.BATCH_DEPENDENT and compile_.get("vocabulary") is not None:
            mistakes.append(
                f"compile.vocabulary: must be null, since in {compile_['precision']} of {compile_['backend']} a vector "
                "depends on what else is in the batch"
            )


def _plugin(kind: str, name: Any, where: str, mistakes: list[str]) -> bool:
    if not isinstance(name, str):
        return False  # schema.parse has said so
    if name in plugins.known(kind):
        return True
    mistakes.append(f"{where}: unknown {plugins.KINDS[kind]} {name!r}{plugins.suggest(name, plugins.known(kind))}")
    return False


def _options(kind: str, name: str) -> Any:
    return plugins.load(kind, name).Options


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = data.get(name)
    return section if isinstance(section, Mapping) else {}


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, found {value}")
