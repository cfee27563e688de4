"""Serving's alias moves only to a version with a positive verdict of its own, and back to where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from earned import earned
from imports import ROOT

from modelkiln import ModelkilnError, promotion, registries
from modelkiln.artifact import read_manifest, seal
from modelkiln.cli import app
from modelkiln.contents import COMPILED, VERDICT
from modelkiln.files import to_json
from modelkiln.registries import Place, Ref, Registration, Version, find_version
from modelkiln.verdict import Check, Figure

Register = Callable[..., Version]


@pytest.fixture
def place(embedded: Any) -> Place:
    """An empty embedded registry."""
    return Place("mlflow", registries.load("mlflow"), embedded.options)


@pytest.fixture
def register(place: Place, tiny_artifact: Path, tmp_path: Path) -> Register:
    """Registers the tiny artifact as if another torch had compiled it, each time another version."""

    def made(torch: str, cosine: float = 0.9999, **changes: Any) -> Version:
        folder = Path(shutil.copytree(tiny_artifact, tmp_path / torch))
        manifest = read_manifest(folder)
        manifest = seal(folder, replace(manifest, toolchain={**manifest.toolchain, "torch": torch}))
        verdict = earned(manifest, **changes)
        for check in verdict.checks:
            if check.name == "vectors: real texts[document]":
                check.figures["min_cosine"] = Figure(cosine, 0.9999, "at least")
        extras = {VERDICT: to_json(asdict(verdict))} if changes != {"passed": None} else {}
        made = Registration(
            "keywords", "test", COMPILED, manifest.digest, folder, extras, {"git_commit": torch}, "# card"
        )
        return place.registry.register(made, place.options)

    return made


def champion(place: Place) -> str:
    return place.registry.resolve(Ref("mlflow", "keywords", alias="champion"), place.options).version


def test_alias_moves_forward_and_back_and_forward(register: Register, place: Place) -> None:
    for torch in ("2.11", "2.12"):
        promotion.promote(register(torch), "champion", place)
    assert champion(place) == "2"
    before, now = promotion.roll_back("keywords", "champion", place)
    assert (before.version, now.version, champion(place)) == ("2", "1", "1")
    promotion.roll_back("keywords", "champion", place)
    assert champion(place) == "2"


def test_version_that_was_champion_from_the_first_has_nothing_to_go_back_to(register: Register, place: Place) -> None:
    version = register("2.11")
    for _ in range(2):  # moved to where it is: no past of its own
        promotion.promote(version, "champion", place)
    with pytest.raises(ModelkilnError, match=r"version 1 from the first.*modelkiln promote keywords/N champion"):
        promotion.roll_back("keywords", "champion", place)


def test_alias_that_somebody_moves_meanwhile_is_not_rolled_back(
    register: Register, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would stand for what neither order of the two gives: 1, with 2 as what it was before."""
    for torch in ("2.10", "2.11"):
        promotion.promote(register(torch), "champion", place)
    third = register("2.12")
    look = promotion._judgement

    def look_while_another_promotes(version: Version, at: Place) -> Any:
        monkeypatch.setattr(promotion, "_judgement", look)
        promotion.promote(third, "champion", at)
        return look(version, at)

    monkeypatch.setattr(promotion, "_judgement", look_while_another_promotes)
    with pytest.raises(ModelkilnError, match=r"champion was version 2 a moment ago, and stands for version 3 now"):
        promotion.roll_back("keywords", "champion", place)
    assert champion(place) == "3"
    promotion.roll_back("keywords", "champion", place)
    assert champion(place) == "2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passed": False}, "its verdict is negative"),
        ({"artifact": "0" * 64}, "its verdict is of artifact 0000"),
        ({"passed": None}, "registered without a verdict"),
        (
            {"checks": [Check("vectors", "failed", reason="min_cosine is 0.5")]},
            "its checks say otherwise",
        ),
    ],
)
def test_version_without_a_positive_verdict_of_its_own_is_not_promoted(
    changes: dict[str, Any], said: str, register: Register, place: Place
) -> None:
    promotion.promote(register("2.11"), "champion", place)
    with pytest.raises(ModelkilnError, match=said):
        promotion.promote(register("2.12", **changes), "champion", place)
    assert champion(place) == "1"


def test_champion_that_was_deleted_is_one_line(register: Register, place: Place) -> None:
    from mlflow import MlflowClient

    for torch in ("2.11", "2.12"):
        promotion.promote(register(torch), "champion", place)
    MlflowClient(f"sqlite:///{Path('registry/mlflow.db').resolve()}").delete_model_version("keywords", "1")
    with pytest.raises(ModelkilnError, match=r"version=1\) not found"):
        promotion.roll_back("keywords", "champion", place)
    assert champion(place) == "2"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    app(arguments, standalone_mode=False)
    return capsys.readouterr().out


def test_commands_list_compare_promote_and_roll_back(
    register: Register, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = register("2.11"), register("2.12", cosine=0.99995)
    assert run(capsys, "promote", "keywords/1") == "mlflow:keywords@champion is version 1\n"
    assert run(capsys, "promote", "mlflow:keywords/2", "champion") == "mlflow:keywords@champion is version 2\n"
    lines = run(capsys, "versions", "keywords").splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert ("champion" in lines[0], "champion" in lines[1], second.digest[:12] in lines[1]) == (False, True, True)
    changed = run(capsys, "diff", "keywords/1", "keywords@champion").splitlines()
    names = [line.rsplit(": ", 1)[0] for line in changed]
    assert names == ["digest", "toolchain.torch", "vectors: real texts[document]: min_cosine", "git_commit"]
    assert f"{first.digest} -> {second.digest}" in changed[0]
    assert "2.11 -> 2.12" in changed[1]
    assert "0.9999 (at least 0.9999) -> 0.99995 (at least 0.9999)" in changed[2]
    assert run(capsys, "diff", "keywords/1", "keywords/1") == "no difference\n"
    assert run(capsys, "rollback", "keywords") == "mlflow:keywords@champion is version 1, and was 2\n"


@pytest.mark.parametrize("text", ["keywords", "keywords/", "../keywords/1", "mlflow:keywords", "key words/1"])
def test_version_that_is_none_shows_one_that_is(text: str, place: Place) -> None:
    with pytest.raises(ModelkilnError, match="as mlflow:keywords-minilm@champion"):
        find_version(text)


def test_unknown_name_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelkilnError, match=r"MLflow at sqlite:///registry/mlflow\.db: .*nothing.* not found"):
        run(capsys, "versions", "nothing")


def test_serving_comes_from_where_promote_goes_and_the_environment_is_told(
    register: Register,
    place: Place,
    mlflow_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With params.yaml naming one registry, and the environment another that has the same name in it."""
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    shutil.copy(mlflow_database, tmp_path / "other.db")
    promotion.promote(register("2.11"), "champion", place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert registries.fetch_cached(Ref("mlflow", "keywords", alias="champion")).is_dir()
    assert (
        "the registry of params.yaml, and not that of MLFLOW_TRACKING_URI, which is another" in capsys.readouterr().err
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry/mlflow.db")  # the same
    registries.project_place()
    assert capsys.readouterr().err == ""
    (tmp_path / "params.yaml").write_text("upload: {registry: somebody else's}\n")  # another project's
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(ModelkilnError, match="keywords"):
        registries.fetch_cached(Ref("mlflow", "keywords", alias="champion"))
