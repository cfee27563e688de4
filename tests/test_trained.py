"""A trained model goes into a registry and comes out of it, with what KeyBERT predicted, to be compiled and judged."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from compiling import compile_here, fetch_local
from earned import earned

from modelkiln import ModelkilnError, contents, registration, registries, sources
from modelkiln.artifact import read_manifest
from modelkiln.bounds import STRICT
from modelkiln.contents import GOLDEN_FILES
from modelkiln.files import relative_files, to_json, write_text
from modelkiln.golden import read_registered, read_samples
from modelkiln.params import Download, Upload
from modelkiln.registries import Place, Ref, Version
from modelkiln.trained import register_trained

TEXTS = [sample.text for sample in read_samples()[::10]]
SQLITE = {"tracking_uri": "sqlite:///registry/mlflow.db", "artifact_root": "registry/files"}
OPTIONS = {"registry": "mlflow", "name": "keywords-trained", "options": SQLITE}
GOLDEN = {"inputs": [], "inference_params": [], "predictions": []}


@pytest.fixture
def place(embedded: Any) -> Place:
    """An empty embedded registry."""
    return Place("mlflow", registries.load("mlflow"), embedded.options)


@pytest.fixture
def trained(place: Place, tiny_model: Path) -> Version:
    """The tiny model, registered."""
    return register_trained(tiny_model, TEXTS, "keywords-trained", "trained", place)


def download(**options: Any) -> Download:
    return Download("tiny", "trained", "registry", {"registry": {**OPTIONS, **options}}, None)


def fetch(dest: Path, **options: Any) -> Path:
    """What the download stage does."""
    dest.mkdir()
    revision = sources.fetch(download(**options), dest)
    write_text(dest / sources.REVISION, to_json(asdict(revision)))
    return dest


def test_registering_again_is_the_same_version(trained: Version, place: Place, tiny_model: Path) -> None:
    assert register_trained(tiny_model, TEXTS, "keywords-trained", "trained", place) == trained
    assert [found.version for found in place.registry.versions("keywords-trained", place.options)] == ["1"]


def test_model_comes_back_with_golden_samples_and_card(
    trained: Version, place: Place, tiny_model: Path, tmp_path: Path
) -> None:
    place.registry.set_alias(trained, "champion", place.options)
    source = fetch(tmp_path / "source", alias="champion")
    revision = json.loads((source / "revision.json").read_text())
    assert (revision["id"], revision["revision"]) == ("mlflow:keywords-trained/1", trained.digest)
    for name in relative_files(tiny_model):
        assert (source / name).read_bytes() == (tiny_model / name).read_bytes()
    beside = {*GOLDEN_FILES, "card.md", "revision.json"}
    assert {*relative_files(source)} == {*relative_files(tiny_model), *beside}
    assert "# keywords-trained" in (source / "card.md").read_text()


def test_registered_predictions_are_those_of_keybert(trained: Version, tiny_model: Path, tmp_path: Path) -> None:
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    registered = read_registered(fetch(tmp_path / "source", version=1) / "golden")
    assert registered
    assert registered.inputs == TEXTS
    keybert = KeyBERT(SentenceTransformer(str(tiny_model), device="cpu"))
    for mode, predictions in zip(registered.modes, registered.predictions, strict=True):
        params = {name: tuple(value) if isinstance(value, list) else value for name, value in mode.items()}
        expected = [[word for word, _ in each] for each in keybert.extract_keywords(TEXTS, **params)]
        assert [[word for word, _ in each] for each in predictions] == expected


def test_alias_that_has_moved_on_stands_for_another_version(trained: Version, place: Place, tmp_path: Path) -> None:
    place.registry.set_alias(trained, "champion", place.options)
    other = Path(shutil.copytree(fetch(tmp_path / "first", version=1), tmp_path / "other"))
    for name in (*GOLDEN_FILES, "card.md", "revision.json"):
        (other / name).unlink()
    (other / "notes.txt").write_text("fine-tuned")
    second = register_trained(other, TEXTS, "keywords-trained", "trained", place)
    place.registry.set_alias(second, "champion", place.options)
    revision = json.loads((fetch(tmp_path / "second", alias="champion") / "revision.json").read_text())
    assert revision["id"] == "mlflow:keywords-trained/2"


@pytest.mark.parametrize("options", [{}, {"version": 1, "alias": "champion"}])
def test_either_a_version_or_an_alias_is_asked_for(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="expected a version or an alias, found"):
        fetch(tmp_path / "source", **options)


@pytest.mark.parametrize("name", ["model/model.safetensors", "golden/predictions.json", "card.md"])
def test_version_that_was_altered_in_the_registry_is_refused(name: str, trained: Version, tmp_path: Path) -> None:
    (held,) = [path for path in Path("registry/files").rglob(name.rsplit("/", 1)[-1]) if path.is_file()]
    held.write_bytes(held.read_bytes() + b" ")
    with pytest.raises(ModelkilnError, match=f"{name} was altered"):
        fetch(tmp_path / "source", version=1)


def test_compiled_version_is_no_source(place: Place, tiny_artifact: Path, tmp_path: Path) -> None:
    made = registries.Registration(
        "keywords-trained", "test", contents.COMPILED, read_manifest(tiny_artifact).digest, tiny_artifact, {}, {}, ""
    )
    place.registry.register(made, place.options)
    with pytest.raises(ModelkilnError, match=r"mlflow:keywords-trained/1: a compiled model, expected one that is to"):
        fetch(tmp_path / "source", version=1)


def test_trained_version_is_not_served(trained: Version, place: Place) -> None:
    with pytest.raises(ModelkilnError, match="a trained model, and only what modelkiln compiled can be loaded"):
        registries.fetch_cached(Ref("mlflow", "keywords-trained", version="1"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b""), "safetensors only.*pytorch_model.bin"),
        (lambda folder: (folder / "config.json").unlink(), "no model there"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "can't be loaded"),
        (shutil.rmtree, "no folder"),
    ],
)
def test_folder_without_a_good_model_is_not_registered(
    change: Any, said: str, place: Place, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "broken"))
    change(folder)
    with pytest.raises(ModelkilnError, match=said):
        register_trained(folder, TEXTS, "keywords-trained", "trained", place)
    with pytest.raises(ModelkilnError, match="not found"):
        place.registry.versions("keywords-trained", place.options)


def test_both_versions_know_each_other_and_the_link_is_made_once(
    trained: Version, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = compile_here("generic", fetch(tmp_path / "source", version=1), tmp_path / "compiled", 48)
    verdict = earned(read_manifest(artifact))
    params = Upload("mlflow", "test", "keywords", "champion", options=SQLITE)
    with monkeypatch.context() as patch:  # a crash between the two
        patch.setattr(place.registry, "link", None)
        with pytest.raises(TypeError):
            registration.upload(artifact, verdict, STRICT, GOLDEN, params, download(version=1))
    with pytest.raises(ModelkilnError, match="champion"):
        place.registry.resolve(Ref("mlflow", "keywords", alias="champion"), place.options)
    for section in (download(version=1), None):  # params.yaml may have gone on to another source
        registration.upload(artifact, verdict, STRICT, GOLDEN, params, section)
    compiled = place.registry.resolve(Ref("mlflow", "keywords", alias="champion"), place.options)
    assert compiled.tags["source_id"] == "mlflow:keywords-trained/1"
    source = place.registry.resolve(Ref("mlflow", "keywords-trained", version="1"), place.options)
    assert source.compiled == ("mlflow:keywords/1",)
    # A second artifact of the same source is a second link.
    other = compile_here("generic", tmp_path / "source", tmp_path / "other", 32)
    again = earned(read_manifest(other))
    registration.upload(other, again, STRICT, GOLDEN, params, download(version=1))
    source = place.registry.resolve(Ref("mlflow", "keywords-trained", version="1"), place.options)
    assert source.compiled == ("mlflow:keywords/1", "mlflow:keywords/2")


def test_source_without_golden_samples_is_told_from_a_damaged_one(tiny_model: Path, tmp_path: Path) -> None:
    source = fetch_local(tiny_model, tmp_path / "source", "tiny")
    assert read_registered(source / "golden") is None
    write_text(source / "golden" / "inputs.json", '["text"]')
    with pytest.raises(ModelkilnError, match=r"inference_params\.json: can't read the golden samples"):
        read_registered(source / "golden")


@pytest.mark.parametrize(
    ("inputs", "params", "predictions", "said"),
    [
        ('"text"', "{}", "[]", "inputs.json: expected a list of texts"),
        ("[]", "{}", "[]", "inputs.json: expected a list of texts"),
        ('["a"]', '["top_n"]', "[[]]", "inference_params.json: expected arguments"),
        ('["a"]', '[{"top_n": 5}, {"top_n": 3}]', "[[]]", "predictions.json: expected answers for each of 2 modes"),
    ],
)
def test_golden_samples_that_do_not_fit_together_are_one_line(
    inputs: str, params: str, predictions: str, said: str, tmp_path: Path
) -> None:
    for name, text in zip(GOLDEN_FILES, (inputs, params, predictions), strict=True):
        write_text(tmp_path / name, text)
    with pytest.raises(ModelkilnError, match=said):
        read_registered(tmp_path / "golden")


def test_one_call_and_several_are_both_understood(tmp_path: Path) -> None:
    one = [[["tram", 0.6]], [["rain", 0.5]]]
    for params, predictions in (({"top_n": 1}, one), ([{"top_n": 1}], [one])):
        for name, data in zip(GOLDEN_FILES, (["a", "b"], params, predictions), strict=True):
            write_text(tmp_path / name, to_json(data))
        registered = read_registered(tmp_path / "golden")
        assert registered
        assert (registered.modes, registered.predictions) == (({"top_n": 1},), (one,))
