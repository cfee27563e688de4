"""The real MLflow client on sqlite: once registered, always found; never seen before it is complete."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import ModelkilnError, registries
from modelkiln.artifact import read_manifest
from modelkiln.registries import Ref, Registration, mlflow, parse_ref


@pytest.fixture
def options(mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.Options:
    """An empty embedded registry in a project's folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "registry").mkdir()
    shutil.copy(mlflow_database, tmp_path / "registry" / "mlflow.db")
    return mlflow.Options(mlflow.EMBEDDED, "registry/files")


def registration(folder: Path, **changes: Any) -> Registration:
    digest = read_manifest(folder).digest
    made = Registration("keywords", "test", digest, folder, {"card.md": "# card\n"}, {"git_commit": "abc"}, "# card\n")
    return replace(made, **changes)


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(
        f"sqlite:///{Path('registry/mlflow.db').resolve()}"
    )  # it remembers what it opened by its address


def test_registered_artifact_comes_back_verified_by_its_alias(options: mlflow.Options, tiny_artifact: Path) -> None:
    version = mlflow.register(registration(tiny_artifact), options)
    mlflow.set_alias(version, "champion", options)
    extractor = modelkiln.load("mlflow:keywords@champion")
    assert extractor.extract_keywords("The tram line opens.") == modelkiln.load(tiny_artifact).extract_keywords(
        "The tram line opens."
    )
    assert modelkiln.load("mlflow:keywords/1").extract_keywords("rain") == extractor.extract_keywords("rain")
    assert (options and (Path("cache") / version.digest / "manifest.json").exists()) is True


def test_registering_twice_makes_one_version_and_uploads_once(
    options: mlflow.Options, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mlflow.register(registration(tiny_artifact), options)
    monkeypatch.setattr(mlflow, "_upload", None)
    again = mlflow.register(registration(tiny_artifact, tags={"git_commit": "later"}), options)
    assert first == again
    assert len(client().search_model_versions("name = 'keywords'")) == 1


def test_version_carries_lineage_card_and_files(options: mlflow.Options, tiny_artifact: Path) -> None:
    version = mlflow.register(registration(tiny_artifact), options)
    found = client().get_model_version("keywords", version.version)
    assert found.tags == {"git_commit": "abc", "content_digest": version.digest, "complete": "true"}
    assert found.description == "# card\n"
    assert {file.path for file in client().list_artifacts(found.run_id)} == {"card.md", "model"}


def test_upload_that_broke_off_is_invisible_and_completed_by_the_next(
    options: mlflow.Options, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise ConnectionError("half-way")

    wanted = registration(tiny_artifact)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "_upload", break_off)
        with pytest.raises(ModelkilnError, match="half-way"):
            mlflow.register(wanted, options)
    assert mlflow.find("keywords", wanted.digest, options) is None
    with pytest.raises(ModelkilnError, match="never completed"):
        mlflow.resolve(Ref("mlflow", "keywords", version="1"), options)
    version = mlflow.register(wanted, options)
    assert version.version == "1"
    assert mlflow.find("keywords", wanted.digest, options) == version


def test_what_the_registry_garbled_is_never_complete(
    options: mlflow.Options, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mlflow._upload

    def garble(made: Any, run_id: str, wanted: Registration) -> None:
        whole(made, run_id, wanted)
        (graph,) = Path("registry").rglob("encoder.pt")
        graph.write_bytes(graph.read_bytes()[:-1] + b"x")

    monkeypatch.setattr(mlflow, "_upload", garble)
    with pytest.raises(ModelkilnError, match=r"graphs/encoder\.pt was altered"):
        mlflow.register(registration(tiny_artifact), options)
    assert mlflow.find("keywords", read_manifest(tiny_artifact).digest, options) is None


def test_altered_version_is_refused_and_not_cached(options: mlflow.Options, tiny_artifact: Path) -> None:
    version = mlflow.register(registration(tiny_artifact), options)
    (graph,) = Path("registry").rglob("encoder.pt")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelkilnError, match=r"graphs/encoder\.pt was altered"):
        modelkiln.load("mlflow:keywords/1")
    assert not (Path("cache") / version.digest).exists()


def test_leftover_is_completed_with_the_lineage_of_the_run_that_completes_it(
    options: mlflow.Options, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "_upload", None)
        with pytest.raises(TypeError):
            mlflow.register(registration(tiny_artifact), options)
    mlflow.register(registration(tiny_artifact, tags={"git_commit": "later"}, card="# later"), options)
    found = client().get_model_version("keywords", "1")
    assert (found.tags["git_commit"], found.description) == ("later", "# later")


def test_threads_that_fetch_at_once_all_get_it(options: mlflow.Options, tiny_artifact: Path) -> None:
    mlflow.set_alias(mlflow.register(registration(tiny_artifact), options), "champion", options)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(modelkiln.load, ["mlflow:keywords@champion"] * 4))
    assert len(loaded) == 4


def test_registering_at_once_makes_one_version(options: mlflow.Options, tiny_artifact: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(lambda _: mlflow.register(registration(tiny_artifact), options), range(3)))
    assert {version.version for version in versions} == {"1"}


def test_cache_that_was_altered_is_fetched_anew(options: mlflow.Options, tiny_artifact: Path) -> None:
    version = mlflow.register(registration(tiny_artifact), options)
    modelkiln.load("mlflow:keywords/1")
    tokenizer = Path("cache") / version.digest / "tokenizer.json"
    good = tokenizer.read_bytes()
    tokenizer.write_text("{}")
    modelkiln.load("mlflow:keywords/1")
    assert tokenizer.read_bytes() == good


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/x.db", "sqlite:///file.txt"])
def test_database_that_is_none_is_one_line(uri: str, options: mlflow.Options) -> None:
    Path("file.txt").write_text("no database" * 1000)
    with pytest.raises(ModelkilnError, match="MLflow at sqlite") as raised:
        mlflow.find("keywords", "0" * 64, mlflow.Options(uri))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ref", ["mlflow:keywords@nobody", "mlflow:keywords/99", "mlflow:unknown/1"])
def test_version_that_is_not_there_is_one_line(ref: str, options: mlflow.Options, tiny_artifact: Path) -> None:
    mlflow.register(registration(tiny_artifact), options)
    with pytest.raises(ModelkilnError, match=r"MLflow at sqlite:///registry/mlflow\.db: .*not found") as raised:
        modelkiln.load(ref)
    assert "\n" not in str(raised.value)


def test_no_registry_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ModelkilnError, match="set MLFLOW_TRACKING_URI"):
        modelkiln.load("mlflow:keywords@champion")
    assert not list(tmp_path.iterdir())


def test_password_in_the_address_is_not_repeated() -> None:
    assert mlflow._public("https://user:secret@registry.example:5000/x") == "https://registry.example:5000/x"


def test_password_in_the_params_is_refused() -> None:
    with pytest.raises(ValueError, match="holds credentials"):
        mlflow.Options("https://user:secret@registry.example")


def test_server_that_is_down_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(ModelkilnError, match=r"MLflow at http://127\.0\.0\.1:9: ") as raised:
        mlflow.find("keywords", "0" * 64, mlflow.Options())
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlflow:keywords-minilm@champion", Ref("mlflow", "keywords-minilm", alias="champion")),
        ("mlflow:a.b_c/12", Ref("mlflow", "a.b_c", version="12")),
        ("artifacts/compiled", None),
        ("C:/models/compiled", None),
        ("/tmp/a:b", None),
    ],
)
def test_reference_is_told_from_a_path(text: str, expected: Ref | None) -> None:
    assert parse_ref(text) == expected


@pytest.mark.parametrize(
    "text", ["mlflow:keywords", "mlflow:keywords@", "mlflow:key words/1", "mlflow:x/1/2", "mlflow:x'or/1"]
)
def test_reference_that_is_none_shows_one_that_is(text: str) -> None:
    with pytest.raises(ModelkilnError, match="as mlflow:keywords-minilm@champion"):
        parse_ref(text)


def test_unknown_registry_lists_the_known_ones() -> None:
    with pytest.raises(ModelkilnError, match=r"unknown registry 'mlfow' \(did you mean 'mlflow'\?\)"):
        parse_ref("mlfow:keywords/1")


def test_module_is_a_registry() -> None:
    assert registries.load("mlflow").Options() == mlflow.Options()
