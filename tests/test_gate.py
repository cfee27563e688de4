"""A verdict is believed when it is all that the suite would have said of this artifact, and not otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from compiling import asked_of
from earned import COUNTS, earned
from keys import key_pair

from modelkiln import ModelkilnError, gate, plan, promotion, registration, registries, signing, validation
from modelkiln.artifact import Manifest, read_manifest
from modelkiln.bounds import LOOSEST, STRICT, Bounds
from modelkiln.contents import COMPILED, VERDICT
from modelkiln.files import to_json, write_text
from modelkiln.params import Upload, Validate
from modelkiln.registries import Place, Registration
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict, read_verdict

Forge = Callable[[dict[str, Any]], Any]
SUFFIX = "[document]"
GOLDEN = {"inputs": ["text"], "inference_params": [{"top_n": 5}], "predictions": [[[["text", 1.0]]]]}
SQLITE = {"tracking_uri": "sqlite:///registry/mlflow.db", "artifact_root": "registry/files"}


def check(data: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in data["checks"] if each["name"] == name]
    return dict(found)


def only(data: dict[str, Any], *names: str) -> None:
    data["checks"] = [each for each in data["checks"] if each["name"] in names]


def without(data: dict[str, Any], name: str) -> None:
    assert any(each["name"] == name for each in data["checks"])
    data["checks"] = [each for each in data["checks"] if each["name"] != name]


def change(data: dict[str, Any], name: str, **changes: Any) -> None:
    for each in data["checks"]:
        if each["name"] == name:
            each.update(changes)


def loosen(data: dict[str, Any], figure: str, bound: float) -> None:
    for each in data["checks"]:
        if figure in each["figures"]:
            each["figures"][figure] = {"value": bound, "bound": bound, "side": each["figures"][figure]["side"]}


MADE_UP = {"name": "vectors: golden texts", "outcome": "passed", "figures": {}, "reason": ""}
REAL = f"vectors: real texts{SUFFIX}"
FORGERIES: dict[str, tuple[Forge, str]] = {
    "a check cut out": (lambda data: without(data, REAL), rf"{REAL[:-10]}.*is missing"),
    "one made-up check": (lambda data: data.update(checks=[MADE_UP]), "is missing"),
    "a made-up check beside": (lambda data: data["checks"].append(MADE_UP), "golden texts is no check of this suite"),
    "one of the real checks": (lambda data: only(data, REAL), "is missing"),
    "no checks": (lambda data: data.update(checks=[]), "its checks say otherwise"),
    "a check twice": (lambda data: data["checks"].append(check(data, REAL)), "its checks say otherwise"),
    "bounds emptied": (lambda data: data.update(bounds={}), "its bounds are none"),
    "a bound of 1e9": (lambda data: data["bounds"].update(atol=1e9), "its bounds are none"),
    "a bound of 1": (lambda data: data["bounds"].update(atol=1.0), "expected at most 1.0"),
    "a figure's bound of 1e9": (lambda data: loosen(data, "max_norm_difference", 1e9), "expected at most 0.001"),
    "a figure left out": (lambda data: change(data, REAL, figures={}), "lacks the figure min_cosine"),
    "a side that does not exist": (
        lambda data: change(data, REAL, figures={"min_cosine": {"value": 0.1, "bound": 0.9999, "side": "about"}}),
        "the verdict is damaged",
    ),
    "a figure of the other side": (
        lambda data: check(data, REAL)["figures"].update(min_cosine={"value": 0.1, "bound": 0.9999, "side": "at most"}),
        "expected at least 0.9999",
    ),
    "a figure without its bound": (
        lambda data: check(data, REAL)["figures"].update(min_cosine={"value": 0.1, "bound": None, "side": ""}),
        "expected at least 0.9999",
    ),
    "a check put aside": (lambda data: change(data, REAL, outcome=NOT_APPLICABLE), "has something to judge"),
    "counts left out": (lambda data: data.update(counts={}), "does not say how many documents, words, graded"),
    "another suite's": (lambda data: data.update(suite="0" * 64), "by other checks than this modelkiln's"),
    "no suite's": (lambda data: data.pop("suite"), "by other checks than this modelkiln's"),
    "another artifact's": (lambda data: data.update(artifact="0" * 64), "its verdict is of artifact 0000"),
    "a failed check behind `passed`": (lambda data: change(data, REAL, outcome="failed"), "its checks say otherwise"),
    "an error behind `passed`": (lambda data: data.update(error="it crashed"), "its checks say otherwise"),
}


@pytest.fixture
def manifest(tiny_artifact: Path) -> Manifest:
    return read_manifest(tiny_artifact)


@pytest.fixture
def forged(request: pytest.FixtureRequest, manifest: Manifest, tmp_path: Path) -> Path:
    """An earned verdict's file, with what `FORGERIES` says changed."""
    data = json.loads(to_json(asdict(earned(manifest))))
    FORGERIES[request.param][0](data)
    write_text(tmp_path / "verdict.json", to_json(data))
    return tmp_path / "verdict.json"


def test_earned_verdict_passes(manifest: Manifest) -> None:
    gate.require_pass(earned(manifest), manifest, STRICT, "not registered")
    gate.require_pass(earned(manifest), manifest, None, "not promoted")


@pytest.mark.usefixtures("warm_start")
def test_suite_says_what_the_plan_asks_for(
    tiny_artifact: Path, tiny_source: Path, golden: Path, tmp_path: Path
) -> None:
    params = Validate(STRICT, str(golden), str(golden), profile_rounds=0)
    verdict = validation.judge(tiny_artifact, tiny_source, tmp_path, params, asked_of(tiny_artifact))
    assert verdict.passed
    read = read_verdict(tmp_path / "verdict.json")
    gate.require_pass(read, read_manifest(tiny_artifact), STRICT, "not registered")
    assert to_json(asdict(read)) == (tmp_path / "verdict.json").read_text()  # which is what a signature is of
    written = [(each.name, sorted(each.figures)) for each in verdict.checks if each.outcome != NOT_APPLICABLE]
    made_up = earned(read_manifest(tiny_artifact), counts=verdict.counts)
    assert sorted(written) == sorted(
        (each.name, sorted(each.figures)) for each in made_up.checks if each.outcome != NOT_APPLICABLE
    )


@pytest.mark.parametrize("forged", FORGERIES, indirect=True)
def test_forged_verdict_is_refused_for_what_it_is(
    forged: Path, request: pytest.FixtureRequest, manifest: Manifest
) -> None:
    (name,) = (each for each in FORGERIES if f"[{each}]" in request.node.name)
    with pytest.raises(ModelkilnError, match=FORGERIES[name][1]):
        gate.require_pass(read_verdict(forged), manifest, STRICT, "not registered")


@pytest.mark.parametrize("forged", ["one made-up check", "a check cut out", "a bound of 1"], indirect=True)
def test_forged_verdict_is_not_registered(
    forged: Path, tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upload = Upload("mlflow", "test", "keywords", "champion", options=SQLITE)
    with pytest.raises(ModelkilnError, match="not registered: its verdict was not earned"):
        registration.upload(tiny_artifact, read_verdict(forged), STRICT, GOLDEN, upload)
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("forged", ["one made-up check", "bounds emptied", "a bound of 1"], indirect=True)
def test_forged_verdict_is_not_promoted(forged: Path, tiny_artifact: Path, manifest: Manifest, embedded: Any) -> None:
    place = Place("mlflow", registries.load("mlflow"), embedded.options)
    extras = {VERDICT: forged.read_text()}
    made = Registration("keywords", "test", COMPILED, manifest.digest, tiny_artifact, extras, {}, "# card")
    version = place.registry.register(made, place.options)
    with pytest.raises(ModelkilnError, match=r"not promoted: its verdict was not earned"):
        promotion.promote(version, "champion", place)


def test_bounds_have_to_be_those_of_params(manifest: Manifest) -> None:
    with pytest.raises(ModelkilnError, match=r"its bound atol is 0\.0001, and params\.yaml says 1e-05"):
        gate.require_pass(earned(manifest), manifest, replace(STRICT, atol=1e-5), "not registered")
    lossy = earned(manifest, LOOSEST)
    gate.require_pass(lossy, manifest, LOOSEST, "not registered")
    gate.require_pass(lossy, manifest, None, "not promoted")


@pytest.mark.parametrize("name", list(asdict(STRICT)))
def test_bound_beyond_the_loosest_is_not_promoted(name: str, manifest: Manifest) -> None:
    if (loose := 0.0 if name.startswith("min_") else 1.0) == getattr(LOOSEST, name):
        pytest.skip("nothing is looser")
    beyond = earned(manifest, replace(LOOSEST, **{name: loose}))
    with pytest.raises(ModelkilnError, match=f"its bound {name} is {loose:g}, and beyond"):
        gate.require_pass(beyond, manifest, None, "not promoted")


def test_checks_of_what_applies_follow_from_the_counts(manifest: Manifest) -> None:
    names = {"graded": "quality: gold key phrases", "registered": "registered: predictions"}
    for count, name in names.items():
        verdict = earned(manifest)
        with pytest.raises(ModelkilnError, match=f"{name}: has something to judge"):
            gate.require_pass(replace(verdict, counts={**COUNTS, count: 3}), manifest, None, "x")
        gate.require_pass(earned(manifest, counts={**COUNTS, count: 3}), manifest, None, "x")


def test_artifact_without_an_encoder_of_its_task_has_no_pass(manifest: Manifest) -> None:
    lacking = replace(manifest, encoders={"document": manifest.encoders["document"]})
    with pytest.raises(ModelkilnError, match=r"has the encoders \['document'\], and its task wants"):
        gate.require_pass(earned(manifest), lacking, None, "not registered")


def test_negative_verdict_says_why(manifest: Manifest) -> None:
    negative = replace(earned(manifest), passed=False, checks=[Check("vectors", "failed", {}, "min_cosine is 0.5")])
    with pytest.raises(ModelkilnError, match=r"its verdict is negative: vectors: min_cosine is 0\.5"):
        gate.require_pass(negative, manifest, None, "not registered")


def test_suite_digest_knows_each_file_that_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(shutil.copytree(plan.ROOT, tmp_path / "modelkiln", ignore=shutil.ignore_patterns("__pycache__")))
    before = plan.suite_digest()
    monkeypatch.setattr(plan, "ROOT", root)
    assert plan.suite_digest() == before
    for name in ("checks/test_vectors.py", "plan.py", "parity.py"):
        text = (root / name).read_text()
        write_text(root / name, f"{text}\n# another\n")
        assert plan.suite_digest() != before, name
        write_text(root / name, text)
    assert all((root / name).exists() for name in plan.JUDGES)


def test_verdict_has_to_be_signed_where_a_key_is_given(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key, public), (_, other) = key_pair(tmp_path, "team"), key_pair(tmp_path, "other")
    verdict = earned(manifest)
    signature = signing.sign_text("verdict.json", to_json(asdict(verdict)), key)
    gate.require_signature(verdict, "", "not registered")
    monkeypatch.setenv("MODELKILN_VERDICT_KEY", str(public))
    gate.require_signature(verdict, signature, "not registered")
    with pytest.raises(ModelkilnError, match=r"not registered: verdict\.json: is not signed, and has to be"):
        gate.require_signature(verdict, "", "not registered")
    invented = replace(verdict, artifact="0" * 64)
    with pytest.raises(
        ModelkilnError, match=r"not registered: verdict\.json: its signature is not by .*team\.pub, or it was"
    ):
        gate.require_signature(invented, signature, "not registered")
    monkeypatch.setenv("MODELKILN_VERDICT_KEY", str(other))
    with pytest.raises(ModelkilnError, match=r"its signature is not by the owner of .*other\.pub"):
        gate.require_signature(verdict, signature, "not registered")


@pytest.mark.usefixtures("warm_start")
def test_who_judges_signs_and_the_signature_goes_into_the_registry(
    tiny_artifact: Path, tiny_source: Path, golden: Path, embedded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = key_pair(tmp_path, "team")
    monkeypatch.setenv("MODELKILN_SIGNING_KEY", str(key))
    monkeypatch.setenv("MODELKILN_VERDICT_KEY", str(public))
    params = Validate(STRICT, str(golden), str(golden), profile_rounds=0)
    verdict = validation.judge(tiny_artifact, tiny_source, tmp_path / "reports", params, asked_of(tiny_artifact))
    signature = (tmp_path / "reports" / "evidence" / "verdict.sig").read_text()
    upload = Upload("mlflow", "test", "keywords", "champion", options=asdict(embedded.options))
    with pytest.raises(ModelkilnError, match="is not signed"):
        registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, upload)
    registration.upload(tiny_artifact, verdict, STRICT, GOLDEN, upload, signature=signature)
    place = Place("mlflow", registries.load("mlflow"), embedded.options)
    version = place.registry.resolve(registries.Ref("mlflow", "keywords", alias="champion"), place.options)
    promotion.promote(version, "challenger", place)
    other = key_pair(tmp_path, "other")[1]
    monkeypatch.setenv("MODELKILN_VERDICT_KEY", str(other))
    with pytest.raises(ModelkilnError, match=r"not promoted: verdict\.json: its signature is not by"):
        promotion.promote(version, "challenger", place)


def test_plan_names_figures_that_bounds_have() -> None:
    fields = set(asdict(STRICT))
    for each in plan.CHECKS:
        assert each.figures, each.name
        assert {limit.bound for limit in each.figures.values() if isinstance(limit.bound, str)} <= fields


def test_figure_is_no_figure_without_a_known_side() -> None:
    for bound, side in ((1.0, "about"), (None, "at most"), (1.0, ""), (float("inf"), "at most")):
        with pytest.raises(ValueError, match="no figure"):
            Figure(1.0, bound, side)


def test_loosest_bounds_are_those_of_the_choices() -> None:
    import yaml
    from imports import ROOT

    choices = [yaml.safe_load(path.read_text()) for path in (ROOT / "conf" / "validation").glob("*.yaml")]
    assert len(choices) == 3
    for name, loosest in asdict(LOOSEST).items():
        values = [choice[name] for choice in choices]
        assert loosest == (min(values) if name.startswith("min_") else max(values)), name
    assert Bounds(**asdict(LOOSEST)) == LOOSEST


def test_verdict_of_one_earned_is_read_as_it_was_written(manifest: Manifest, tmp_path: Path) -> None:
    verdict: Verdict = earned(manifest)
    write_text(tmp_path / "verdict.json", to_json(asdict(verdict)))
    assert read_verdict(tmp_path / "verdict.json") == verdict
