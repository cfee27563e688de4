"""The loop with each registry: a trained model goes in, is compiled from there, goes back, is loaded by its alias."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import servers
from clone import STAGES, TINY, Clone, stages_that_ran

import modelkiln
from modelkiln import registries
from modelkiln.verdict import read_verdict

pytestmark = pytest.mark.pipeline


@dataclass
class Loop:
    """One registry, as the README's commands have it."""

    name: str
    trained: str
    compiled: str
    version: str  # of the compiled model, when all is done
    registry: list[str] = field(default_factory=list)  # the choice in conf/
    names: list[str] = field(default_factory=list)  # where the defaults' are none
    settings: dict[str, str] = field(default_factory=dict)  # environment
    options: dict[str, str] = field(default_factory=dict)

    def versions(self, name: str) -> list[registries.Version]:
        registry = registries.load(self.name)
        return registry.versions(name, registry.Options(**self.options))


@pytest.fixture
def mlflow(clone: Clone) -> Loop:
    # Version 1 is the base variant's, which the clone came with.
    uri = f"sqlite:///{clone.folder}/registry/mlflow.db"
    return Loop("mlflow", "keywords-tiny-trained", "keywords-tiny", "2", options={"tracking_uri": uri})


@pytest.fixture
def mlflow_by_its_server(request: pytest.FixtureRequest) -> Loop:
    uri = request.getfixturevalue("mlflow_server").url
    return Loop(
        *("mlflow", "keywords-tiny-trained", "keywords-tiny", "1", ["registry=mlflow-server"]),
        settings={"MLFLOW_TRACKING_URI": uri},
        options={"tracking_uri": uri},
    )


@pytest.fixture
def neptune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    with servers.neptune(tmp_path) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        names = ["download.sources.registry.name=KEYB", "upload.name=KEYWORDS"]
        yield Loop("neptune", "KEYB", "KEYWORDS", "1", ["registry=neptune"], names, settings)


@pytest.mark.parametrize(
    "registry",
    ["mlflow", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("mlflow_by_its_server", "neptune"))],
)
def test_trained_model_is_compiled_from_the_registry_linked_and_loaded(
    registry: str, clone: Clone, tiny_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    loop: Loop = request.getfixturevalue(registry)
    clone.environment |= {**loop.settings, "MODELKILN_CACHE": str(tmp_path / "cache")}
    clone.compose(*loop.registry)
    said = clone.modelkiln("register-trained", str(tiny_model), loop.trained, "--golden", "golden.jsonl")
    source = f"{loop.name}:{loop.trained}/1"
    assert said.stdout.startswith(f"{source}, alias champion, digest ")
    chosen = [*TINY, "variant=trained", *loop.registry, *loop.names]
    done = clone.run("dvc", "exp", "run", *(part for each in chosen for part in ("-S", each)))
    assert stages_that_ran(done) == STAGES
    assert clone.read("artifacts/source/revision.json")["id"] == source
    verdict = read_verdict(clone.folder / "reports/validation/verdict.json")
    (registered,) = [check for check in verdict.checks if check.name == "registered: predictions"]
    assert (registered.outcome, registered.figures["agreement"].value) == ("passed", 1.0)
    compiled = f"{loop.name}:{loop.compiled}/{loop.version}"

    def linked() -> None:
        (trained,) = loop.versions(loop.trained)
        *_, last = loop.versions(loop.compiled)
        assert (trained.ref, trained.compiled) == (source, (compiled,))
        assert (last.ref, last.tags["source_id"], "champion" in last.aliases) == (compiled, source, True)

    linked()
    # The same again is the same version: nothing is registered twice.
    clone.run("dvc", "repro", "--force", "--single-item", "upload")
    linked()
    text = "The tram line opens on Friday."
    (tmp_path / "texts.jsonl").write_text(json.dumps({"id": "1", "text": text}) + "\n")
    said = clone.modelkiln("extract", f"{loop.name}:{loop.compiled}@champion", str(tmp_path / "texts.jsonl"))
    expected = modelkiln.load(clone.folder / "artifacts" / "compiled").extract_keywords(text)
    assert json.loads(said.stdout)["keywords"] == json.loads(json.dumps(expected))
