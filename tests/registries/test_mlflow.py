"""The real MLflow client, on sqlite and on a real server: once registered, always found; unseen until complete."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from registries.mlflow_places import SMALL, Place, compiled, seen, the_only, trained

import modelkiln
from modelkiln import ModelkilnError, registries
from modelkiln.registries import Ref, Version, mlflow, parse_ref
from modelkiln.registries.mlflow import client as mlflow_client
from modelkiln.registries.mlflow import files as mlflow_files

TEXT = "The tram line opens on Friday, and the old bus line closes."


def test_registered_artifact_comes_back_verified_by_its_alias(place: Place, tiny_artifact: Path) -> None:
    version = mlflow.register(compiled(place, tiny_artifact), place.options)
    mlflow.set_alias(version, "champion", place.options)
    extractor = modelkiln.load(f"mlflow:{place.name}@champion")
    assert extractor.extract_keywords(TEXT) == modelkiln.load(tiny_artifact).extract_keywords(TEXT)
    assert (Path("cache") / version.digest / "model" / "manifest.json").exists()


def test_readers_agree_on_what_there_is(place: Place, tmp_path: Path) -> None:
    first = mlflow.register(trained(place, tmp_path / "one", SMALL), place.options)
    second = mlflow.register(trained(place, tmp_path / "two", {"model.safetensors": b"other"}), place.options)
    mlflow.set_alias(second, "champion", place.options)
    assert [version.version for version in mlflow.versions(place.name, place.options)] == ["1", "2"]
    assert seen(place) == {("1", first.digest), ("2", second.digest)}
    found = mlflow.resolve(Ref("mlflow", place.name, alias="champion"), place.options)
    assert (found, found.aliases, found.kind) == (second, ("champion",), "trained")
    assert mlflow.versions(place.name, place.options)[1].aliases == ("champion",)


def test_all_of_a_version_or_some_files_of_it_come_back(place: Place, tmp_path: Path) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    version = mlflow.register(wanted, place.options)
    registries.fetch_verified(version, tmp_path / "all", place.options)
    got = {str(path.relative_to(tmp_path / "all")): path for path in (tmp_path / "all").rglob("*") if path.is_file()}
    assert got.keys() == {*(f"model/{name}" for name in SMALL), *wanted.extras}
    assert {name: got[f"model/{name}"].read_bytes() for name in SMALL} == SMALL
    (tmp_path / "some").mkdir()
    only = ["card.md", "model/1_Pooling/config.json", "verdict.json"]
    mlflow.fetch(version, tmp_path / "some", place.options, only)
    some = {str(path.relative_to(tmp_path / "some")) for path in (tmp_path / "some").rglob("*") if path.is_file()}
    assert some == {"card.md", "model/1_Pooling/config.json"}


def test_alias_remembers_what_it_stood_for(place: Place, tmp_path: Path) -> None:
    one = mlflow.register(trained(place, tmp_path / "one", SMALL), place.options)
    two = mlflow.register(trained(place, tmp_path / "two", {"model.safetensors": b"other"}), place.options)
    mlflow.set_alias(one, "champion", place.options)
    for _ in range(2):  # again changes nothing
        mlflow.set_alias(two, "champion", place.options)
    found = mlflow.resolve(Ref("mlflow", place.name, alias="champion"), place.options)
    assert (found.version, found.tags["previous.champion"]) == ("2", "1")


def test_alias_of_a_deleted_version_is_one_line(place: Place, tmp_path: Path) -> None:
    version = mlflow.register(trained(place, tmp_path / "model", SMALL), place.options)
    mlflow.set_alias(version, "champion", place.options)
    place.client().delete_model_version(place.name, version.version)
    for ref in (f"mlflow:{place.name}@champion", f"mlflow:{place.name}/1"):
        with pytest.raises(ModelkilnError, match=r"MLflow at \S+: .*not found") as raised:
            modelkiln.load(ref)
        assert "\n" not in str(raised.value)
    with pytest.raises(ModelkilnError, match="not found"):
        mlflow.set_alias(version, "champion", place.options)
    again = mlflow.register(trained(place, tmp_path / "model"), place.options)
    assert (again.version, again.digest) == ("2", version.digest)


def test_alias_never_moves_to_what_is_not_complete(place: Place, tmp_path: Path) -> None:
    version = mlflow.register(trained(place, tmp_path / "model", SMALL), place.options)
    place.client().set_model_version_tag(place.name, version.version, "complete", "false")
    with pytest.raises(ModelkilnError, match="never completed"):
        mlflow.set_alias(version, "champion", place.options)
    assert not place.client().get_registered_model(place.name).aliases


def test_links_are_kept_each_once_whatever_the_name(place: Place, tmp_path: Path) -> None:
    source = mlflow.register(trained(place, tmp_path / "model", SMALL), place.options)
    made = [replace(source, name=name, version=str(n)) for n, name in enumerate(["short", "x" * 250, "a.b_c-d"], 1)]
    made.append(Version("neptune", "https://neptune.example", "KEYW", "7", "0" * 64))
    for compiled_version in [*made, *made]:
        mlflow.link(source, compiled_version, place.options)
    found = mlflow.resolve(Ref("mlflow", place.name, version="1"), place.options)
    assert found.compiled == tuple(sorted(version.ref for version in made))


def test_registering_twice_makes_one_version_and_uploads_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mlflow.register(trained(place, tmp_path / "model", SMALL), place.options)
    monkeypatch.setattr(mlflow_files, "upload", None)
    wanted = replace(trained(place, tmp_path / "model"), tags={"git_commit": "later"})
    assert first == mlflow.register(wanted, place.options)
    assert the_only(place, wanted).tags["git_commit"] == "abc"


def test_version_carries_lineage_card_and_files(place: Place, tiny_artifact: Path) -> None:
    version = mlflow.register(compiled(place, tiny_artifact), place.options)
    found = place.client().get_model_version(place.name, version.version)
    own = {"kind": "compiled", "content_digest": version.digest, "complete": "true"}
    assert found.tags == {"git_commit": "abc", **own}
    assert found.description == "# card\n"
    assert {file.path for file in place.client().list_artifacts(found.run_id)} == {"card.md", "model", "verdict.json"}
    assert place.client().get_run(found.run_id).info.status == "FINISHED"


def test_upload_that_broke_off_is_invisible_and_completed_by_the_next_with_its_lineage(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise ConnectionError("half-way")

    wanted = trained(place, tmp_path / "model", SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_files, "upload", break_off)
        with pytest.raises(ModelkilnError, match="half-way"):
            mlflow.register(wanted, place.options)
    assert mlflow.find(place.name, wanted.digest, place.options) is None
    assert mlflow.versions(place.name, place.options) == []
    with pytest.raises(ModelkilnError, match="never completed"):
        mlflow.resolve(Ref("mlflow", place.name, version="1"), place.options)
    mlflow.register(replace(wanted, tags={"git_commit": "later"}, card="# later"), place.options)
    found = place.client().get_model_version(place.name, the_only(place, wanted).version)
    assert (str(found.version), found.tags["git_commit"], found.description) == ("1", "later", "# later")


def test_what_another_machine_began_is_finished_and_its_own_attempt_is_gone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    create = mlflow._create

    def be_late(*arguments: Any) -> None:  # both saw none there, and the other was faster
        create(*arguments)
        create(*arguments)

    monkeypatch.setattr(mlflow, "_create", be_late)
    assert mlflow.register(wanted, place.options).version == "1"
    the_only(place, wanted)


def test_of_two_complete_ones_of_one_digest_the_lower_counts(place: Place, tmp_path: Path) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    first = mlflow.register(wanted, place.options)
    client = place.client()
    of = client.get_model_version(place.name, "1")
    client.create_model_version(place.name, of.source, of.run_id, tags=dict(of.tags))  # as an older modelkiln could
    assert mlflow.find(place.name, wanted.digest, place.options) == first
    assert mlflow.versions(place.name, place.options) == [first]


def test_garbled_upload_is_never_complete(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mlflow_files.upload
    wanted = trained(place, tmp_path / "model", SMALL)
    for name in ("model.safetensors", "card.md"):

        def garble(*arguments: Any, name: str = name) -> None:
            whole(*arguments)
            place.held(name).write_bytes(b"x")

        with monkeypatch.context() as patch:
            patch.setattr(mlflow_files, "upload", garble)
            with pytest.raises(ModelkilnError, match=f"{name} (was altered|is not what was uploaded)"):
                mlflow.register(wanted, place.options)
        assert seen(place) == set()
    mlflow.register(wanted, place.options)
    the_only(place, wanted)


def test_version_whose_files_are_not_its_own_is_refused_and_not_cached(place: Place, tiny_artifact: Path) -> None:
    version = mlflow.register(compiled(place, tiny_artifact), place.options)
    graph = place.held("encoder.pt")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelkilnError, match=r"graphs/encoder\.pt was altered"):
        modelkiln.load(f"mlflow:{place.name}/1")
    assert not (Path("cache") / version.digest).exists()
    assert not list(Path("cache").glob(".*"))


@pytest.mark.parametrize("reference", ["{}@nobody", "{}/99", "unknown-{}/1"])
def test_version_that_is_not_there_is_one_line(reference: str, place: Place, tmp_path: Path) -> None:
    mlflow.register(trained(place, tmp_path / "model", SMALL), place.options)
    with pytest.raises(ModelkilnError, match=r"MLflow at \S+: .*not found") as raised:
        modelkiln.load(f"mlflow:{reference.format(place.name)}")
    assert "\n" not in str(raised.value)


def test_registering_at_once_makes_one_version(place: Place, tmp_path: Path) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    with ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(lambda _: mlflow.register(wanted, place.options), range(3)))
    assert {version.version for version in versions} == {"1"}
    the_only(place, wanted)


def test_threads_that_fetch_at_once_all_get_it(embedded: Place, tiny_artifact: Path) -> None:
    mlflow.set_alias(mlflow.register(compiled(embedded, tiny_artifact), embedded.options), "champion", embedded.options)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(modelkiln.load, ["mlflow:keywords@champion"] * 4))
    assert len(loaded) == 4


def test_cache_that_was_altered_is_fetched_anew(embedded: Place, tiny_artifact: Path) -> None:
    version = mlflow.register(compiled(embedded, tiny_artifact), embedded.options)
    modelkiln.load("mlflow:keywords/1")
    tokenizer = Path("cache") / version.digest / "model" / "tokenizer.json"
    good = tokenizer.read_bytes()
    tokenizer.write_text("{}")
    modelkiln.load("mlflow:keywords/1")
    assert tokenizer.read_bytes() == good


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/x.db", "sqlite:///file.txt"])
def test_database_that_is_none_is_one_line(uri: str, embedded: Place) -> None:
    Path("file.txt").write_text("no database" * 1000)
    for call in (
        lambda: mlflow.find("keywords", "0" * 64, mlflow.Options(uri)),
        lambda: mlflow.register(trained(embedded, Path("model"), SMALL), mlflow.Options(uri)),
    ):
        with pytest.raises(ModelkilnError, match="MLflow at sqlite") as raised:
            call()
        assert "\n" not in str(raised.value)


def test_no_registry_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ModelkilnError, match="set MLFLOW_TRACKING_URI"):
        modelkiln.load("mlflow:keywords@champion")
    assert not list(tmp_path.iterdir())


def test_password_in_the_address_is_not_repeated() -> None:
    assert mlflow_client.public("https://user:secret@registry.example:5000/x") == "https://registry.example:5000/x"


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
