"""A registered artifact is an MLflow model: loaded and served by MLflow itself, it gives the keywords of `load`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml
from registries.mlflow_places import Place, compiled
from registries.mlflow_server import free_port

import modelkiln
from modelkiln import ModelkilnError, pyfunc
from modelkiln.artifact import read_manifest
from modelkiln.registries import mlflow
from modelkiln.registries.mlflow import model as mlflow_model

TEXTS = ["The tram line opens on Friday, and the old bus line closes.", "Rain, wind and snow over the river."]
PARAMS: list[dict[str, Any]] = [
    {},
    {"top_n": 2},
    {"keyphrase_ngram_range": [1, 2], "use_mmr": True, "diversity": 0.7},
    {"keyphrase_ngram_range": [1, 2], "use_maxsum": True, "nr_candidates": 8, "stop_words": []},
    {"stop_words": ["tram", "rain"], "seed_keywords": ["weather"]},
    {"candidates": ["tram line", "snow"], "keyphrase_ngram_range": [1, 2]},
]


def expected(extractor: Any, params: dict[str, Any]) -> list[list[list[Any]]]:
    """What an extractor answers, as JSON has it.

    It was asked the same before as the one that it is compared with: what the cache of each remembers was then encoded
    in the same batches, and a score's last digit is the same.
    """
    call = {name: tuple(value) if name == "keyphrase_ngram_range" else value for name, value in params.items()}
    call = {name: None if value == [] else value for name, value in call.items()}
    return json.loads(json.dumps(extractor.extract_keywords(TEXTS, **call)))


@pytest.fixture
def registered(place: Place, tiny_artifact: Path) -> Place:
    version = mlflow.register(compiled(place, tiny_artifact), place.options)
    mlflow.set_alias(version, "champion", place.options)
    return place


@pytest.fixture
def loaded(registered: Place, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What MLflow makes of it."""
    import mlflow as client

    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered.address)
    return client.pyfunc.load_model(f"models:/{registered.name}@champion")


def test_mlflow_loads_it_by_its_alias_and_gets_the_same_keywords(loaded: Any, tiny_artifact: Path) -> None:
    extractor = modelkiln.load(tiny_artifact)
    for params in PARAMS:
        answers = loaded.predict(pandas.DataFrame({"text": TEXTS}), params=params)
        assert json.loads(json.dumps(answers)) == expected(extractor, params), params


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_mlflow_refuses_what_means_nothing_with_one_line_and_400(loaded: Any) -> None:
    from mlflow.exceptions import MlflowException

    for params in ({"top_n": 0}, {"keyphrase_ngram_range": [2, 1]}, {"keyphrase_ngram_range": [1]}, {"diversity": 3.0}):
        with pytest.raises(MlflowException) as raised:
            loaded.predict(pandas.DataFrame({"text": TEXTS}), params=params)
        assert raised.value.get_http_status_code() == 400, params
        assert "\n" not in raised.value.message


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_altered_version_is_not_loaded(registered: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = registered.held("encoder.pt")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelkilnError, match=r"graphs/encoder\.pt was altered"):
        pyfunc._load_pyfunc(str(graph.parents[1]))


def test_description_is_what_mlflow_itself_would_write(tiny_artifact: Path, tmp_path: Path) -> None:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    described = mlflow_model.describe(read_manifest(tiny_artifact))
    for name, text in described.items():
        (tmp_path / name).write_text(text)
    model = Model.load(tmp_path)
    kinds = mlflow_model.KEYWORD_PARAMS.items()
    specs = [
        ParamSpec(name, kind, default, (-1,) if isinstance(default, list) else None) for name, (kind, default) in kinds
    ]
    own = ModelSignature(inputs=Schema([ColSpec("string", "text")]), params=ParamSchema(specs))
    assert json.loads(own.to_dict()["inputs"]) == json.loads(
        yaml.safe_load(described["MLmodel"])["signature"]["inputs"]
    )
    assert model.get_params_schema() == own.params
    assert model.signature.inputs == own.inputs
    assert model.signature.outputs is not None
    assert described["requirements.txt"] == "mlflow>=3.11\nmodelkiln[generic]\n"


def test_description_is_the_same_for_the_same_artifact(tiny_artifact: Path) -> None:
    manifest = read_manifest(tiny_artifact)
    assert mlflow_model.describe(manifest) == mlflow_model.describe(manifest)
    assert set(yaml.safe_load(mlflow_model.describe(manifest)["MLmodel"])) == {"flavors", "metadata", "signature"}
    assert str(tiny_artifact) not in "".join(mlflow_model.describe(manifest).values())
    assert mlflow_model.describe(replace(manifest, task="another")) == {}


def test_params_have_the_defaults_of_the_extractor() -> None:
    import inspect

    from modelkiln.keywords.extractor import KeywordExtractor

    signature = inspect.signature(KeywordExtractor.extract_keywords).parameters
    for name, (_, default) in mlflow_model.KEYWORD_PARAMS.items():
        found = signature[name].default
        assert pyfunc._options({name: default})[name] == found, name


def test_input_that_is_none_is_refused(tiny_artifact: Path) -> None:
    from mlflow.exceptions import MlflowException

    model = pyfunc._load_pyfunc(str(tiny_artifact))
    assert model.predict(TEXTS[0]) == model.predict([TEXTS[0]])
    for model_input, params in (([1], None), ([None], None), (["x"], {"topn": 1})):
        with pytest.raises(MlflowException) as raised:
            model.predict(model_input, params)
        assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


@contextmanager
def serving(place: Place, folder: Path) -> Iterator[str]:
    """A real `mlflow models serve`."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{place.name}@champion"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    variables = {**os.environ, "MLFLOW_TRACKING_URI": place.address, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            give_up = time.monotonic() + 300
            while time.monotonic() < give_up and process.poll() is None:
                with suppress(OSError, urllib.error.URLError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(url: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.heavy
def test_mlflow_serves_the_same_keywords_over_http(registered: Place, tiny_artifact: Path, tmp_path: Path) -> None:
    extractor = modelkiln.load(tiny_artifact)
    with serving(registered, tmp_path) as url:
        for params in PARAMS:
            body = {"dataframe_records": [{"text": text} for text in TEXTS], "params": params}
            assert ask(url, body) == (200, {"predictions": expected(extractor, params)})
            body = {"inputs": {"text": TEXTS}, "params": params}
            assert ask(url, body) == (200, {"predictions": expected(extractor, params)})
        for bad in (
            {"dataframe_records": [{"text": TEXTS[0]}], "params": {"top_n": 0}},
            {"dataframe_records": [{"text": TEXTS[0]}], "params": {"top_n": "many"}},
            {"dataframe_records": [{"txt": TEXTS[0]}]},
            {"dataframe_records": [{"text": 7}]},
            {"dataframe_records": [{"text": None}]},
            {"nothing": 1},
            b"no json",
        ):
            status, said = ask(url, bad)
            assert 400 <= status < 500, (bad, status, said)
            assert "stack_trace" not in said, said
            assert "Traceback" not in json.dumps(said), said
        assert ask(url, {"inputs": {"text": TEXTS}})[0] == 200
