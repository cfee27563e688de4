"""Compiled where there is no device, judged where there is one, and registered by that verdict: by the simulator."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import warm
import yaml
from compiling import asked_of, compile_here, options_of
from imports import ROOT

from modelkiln import ModelkilnError, compose, suite, validation
from modelkiln.artifact import read_manifest, seal
from modelkiln.bounds import STRICT
from modelkiln.files import write_text
from modelkiln.golden import SHIPPED
from modelkiln.params import Validate
from modelkiln.verdict import EVIDENCE_FILES, Verdict, read_verdict
from stages import COMPILED, RECEIPT, REPORTS
from stages.upload import upload

# What asks for the artifact that the fixture `simulated` makes.
AS_SIMULATED = [
    "backend=neuron",
    "compile.precision=bf16",
    "compile.options.simulated=true",
    "compile.options.lengths=[8,16]",
    "compile.options.batch=2",
    "compile.encoders.document.max_length=48",
    "compile.encoders.word.max_length=48",
    "compile.max_batch=8",
    "compile.vocabulary=null",
]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_SIM_DEVICE", "inf2")


def test_validation_without_a_device_is_completed_on_one_and_registered(
    simulated: Callable[[str], Path],
    tiny_source: Path,
    golden: Path,
    mlflow_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(simulated("neuron"), tmp_path / COMPILED))
    reports = tmp_path / REPORTS
    judging = Validate(STRICT, str(golden), str(golden), profile_rounds=1)
    with warm.start():
        verdict = validation.validate(folder, tiny_source, reports, judging, asked_of(folder))
    assert not verdict.passed
    assert verdict.reason().startswith("not validated on a device: no simulated device")
    assert "`modelkiln verify --reference` completes the verdict on one" in verdict.reason()
    assert read_verdict(reports / "verdict.json") == verdict
    # It was rehearsed with the uncompiled model in the graphs' place, which found nothing, and none of it is kept: not
    # what passed, no answers, no figures.
    assert {check.name.partition(":")[0] for check in verdict.checks} == {"artifact", "noise", "resources", "tokenizer"}
    assert (reports / "predictions.json").read_text() == (reports / "latency.json").read_text() == "{}\n"
    assert all((reports / "evidence" / name).read_text() == "[]\n" for name in EVIDENCE_FILES)
    assert json.loads((reports / "metrics.json").read_text()) == {"passed": 0, "failed": 1}
    page = (reports / "report.html").read_text()
    assert page.index("Simulated: compiled and run on a CPU") < page.index("Validation of a compiled model")

    params_of = yaml.safe_load(compose.to_yaml(compose.compose(ROOT / "conf", AS_SIMULATED)))
    place = {"tracking_uri": f"sqlite:///{mlflow_database}", "artifact_root": str(tmp_path / "files")}
    params_of["upload"] |= {"name": "neuron-device", "options": place, "test_registry": True}
    params_of["validate"]["bounds"] = asdict(STRICT)
    write_text(tmp_path / "params.yaml", yaml.safe_dump(params_of))
    with pytest.raises(ModelkilnError, match="not registered: its verdict is negative: not validated on a device"):
        upload()

    with pytest.raises(ModelkilnError, match="no simulated device"):
        suite.judge_by_recording(folder, reports / "evidence" / "reference", tmp_path / "verified")
    monkeypatch.setenv("NEURON_SIM_DEVICE", "inf1")
    found = suite.judge_by_recording(folder, reports / "evidence" / "reference", tmp_path / "verified")
    assert found.passed, found.failures()
    params_of["upload"]["reports"] = "verified"
    write_text(tmp_path / "params.yaml", yaml.safe_dump(params_of))
    upload()
    assert json.loads((tmp_path / RECEIPT).read_text())["digest"] == found.artifact


def test_rehearsal_that_fails_speaks_against_the_artifact(
    simulated: Callable[[str], Path], tiny_source: Path, golden: Path, tmp_path: Path
) -> None:
    """As one whose texts are cut too early: nobody has to go to a device for that."""
    folder = Path(shutil.copytree(simulated("neuron"), tmp_path / "short"))
    manifest = read_manifest(folder)
    seal(folder, replace(manifest, encoders={n: replace(e, max_length=24) for n, e in manifest.encoders.items()}))
    (tmp_path / "reports").mkdir()
    judging = Validate(STRICT, str(golden), str(golden), profile_rounds=0)
    with warm.start():
        verdict = validation.judge(
            folder,
            tiny_source,
            tmp_path / "reports",
            judging,
            asked_of(folder),
            "-k",
            "every_length or (serving and not needs)",
        )
    assert {check.name for check in verdict.checks} == {
        "vectors: every length[document-17 to 32 tokens]",
        "vectors: every length[document-33 to 64 tokens]",
    }
    assert all("min_cosine is" in check.reason for check in verdict.failed())


def judge_whole(artifact: Path, source: Path, golden: Path, reports: Path) -> Verdict:
    """By all checks, with the bounds of fp32, which the simulator computes in; prints the figures."""
    verdict = validation.judge(
        artifact, source, reports, Validate(STRICT, str(golden), str(golden), 0), asked_of(artifact)
    )
    for check, figure, value, bound in verdict.figures():
        print(f"{check}: {figure} {value} {bound}")
    print(Counter(check.outcome for check in verdict.checks))
    return verdict


@pytest.mark.heavy
@pytest.mark.parametrize("backend", ["neuron", "neuronx"])
@pytest.mark.usefixtures("device")
def test_whole_suite_of_checks_passes(
    backend: str, simulated: Callable[[str], Path], tiny_source: Path, golden: Path, tmp_path: Path
) -> None:
    verdict = judge_whole(simulated(backend), tiny_source, golden, tmp_path)
    assert verdict.passed, verdict.failures()
    assert verdict.artifact == read_manifest(simulated(backend)).digest


@pytest.mark.heavy
@pytest.mark.usefixtures("device")
def test_whole_suite_of_checks_passes_for_the_real_model_in_graphs_of_the_default_lengths(
    real_source: Path, tmp_path: Path
) -> None:
    few = tmp_path / "golden.jsonl"
    few.write_text("".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[::10]), "utf-8")
    folder = tmp_path / "compiled"
    with options_of(simulated=True):
        compile_here("neuronx", real_source, folder, 256, 16)
    graphs = {name for name in read_manifest(folder).files if name.endswith(".pt")}
    assert graphs == {f"graphs/encoder-{length}.pt" for length in (32, 64, 128, 256)}
    (tmp_path / "reports").mkdir()
    verdict = judge_whole(folder, real_source, few, tmp_path / "reports")
    assert verdict.passed, verdict.failures()
