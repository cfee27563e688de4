"""The gate accepts a good artifact, refuses wrong ones by name, and takes no silence for consent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from compiling import asked_of, compile_here, fetch_local
from tiny import build_tiny_model

from modelkiln import ModelkilnError, validation
from modelkiln.artifact import Manifest, read_manifest, seal
from modelkiln.bounds import STRICT
from modelkiln.files import sha256, to_json, write_text
from modelkiln.golden import SHIPPED
from modelkiln.params import Validate
from modelkiln.suite import settle
from modelkiln.validation import validate
from modelkiln.verdict import EVIDENCE_FILES, Check, Verdict, read_verdict

PARAMS = Validate(STRICT, golden="", corpus="", profile_rounds=1)


def judge(artifact: Path, source: Path, reports: Path, golden: Path) -> Verdict:
    return validate(
        artifact, source, reports, replace(PARAMS, golden=str(golden), corpus=str(golden)), asked_of(artifact)
    )


def judge_only(artifact: Path, source: Path, reports: Path, golden: Path) -> Verdict:
    """Without the profile, which starts the uncompiled model twice more."""
    reports.mkdir()
    params = replace(PARAMS, golden=str(golden), corpus=str(golden))
    return validation.judge(artifact, source, reports, params, asked_of(artifact))


def judged(artifact: Path, source: Path, tmp_path: Path, params: Validate, *extra: str) -> Verdict:
    """With params of its own."""
    (tmp_path / "reports").mkdir()
    return validation.judge(artifact, source, tmp_path / "reports", params, asked_of(artifact), *extra)


def to_line(name: str, text: str) -> str:
    return json.dumps({"id": name, "text": text}) + "\n"


@pytest.fixture
def forge(tiny_artifact: Path, tmp_path: Path) -> Any:
    """A copy of the good artifact with changes, sealed as if it had been compiled so."""

    def change(alter: Any = None, **manifest: Any) -> Path:
        folder = Path(shutil.copytree(tiny_artifact, tmp_path / "forged"))
        sealed: Manifest = replace(read_manifest(folder), **manifest)
        if alter:
            alter(folder)
        seal(folder, sealed)
        return folder

    return change


@pytest.mark.usefixtures("warm_start")
def test_good_artifact_passes_and_leaves_its_reports_which_are_those_of_the_suite_by_hand(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    first = judge(tiny_artifact, tiny_source, tmp_path / "first", golden)
    assert first.passed
    assert first.artifact == read_manifest(tiny_artifact).digest
    names = {path.name for path in (tmp_path / "first").iterdir()} - {"evidence"}
    reports = {"junit.xml", "latency.json", "metrics.json", "predictions.json", "report.html", "samples.json"}
    assert names == reports | {"verdict.json"}
    predictions = json.loads((tmp_path / "first" / "predictions.json").read_text())
    assert len(predictions["predictions"]) == len(predictions["inference_params"]) == 4
    assert len(predictions["predictions"][0]) == len(predictions["inputs"]) == 5
    metrics = json.loads((tmp_path / "first" / "metrics.json").read_text())
    assert (metrics["passed"], metrics["failed"], metrics["agreement"]) == (1, 0, 1.0)
    assert json.loads((tmp_path / "first" / "latency.json").read_text())["compiled"]["p50_ms"] > 0
    # What upload depends on holds no time: the same judgement is the same bytes, also of the suite run by hand.
    suite = [sys.executable, "-m", "pytest", "--pyargs", "modelkiln.checks", "-p", "no:cacheprovider", "-q"]
    suite += ["--artifact", str(tiny_artifact), "--source", str(tiny_source), "--golden", str(golden)]
    suite += ["--reports", str(tmp_path / "second"), "--asked", str(tmp_path / "first/evidence/asked.json")]
    done = subprocess.run(suite, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d\d passed, \d+ skipped", done.stdout)
    for name in ("verdict.json", "predictions.json", *(f"evidence/{name}" for name in EVIDENCE_FILES)):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.usefixtures("warm_start")
def test_graph_of_another_model_is_refused_by_its_vectors(
    forge: Any, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    other = fetch_local(build_tiny_model(tmp_path / "model", seed=1), tmp_path / "source", "tiny")
    stale = compile_here("generic", other, tmp_path / "stale", 48)
    artifact = forge(lambda folder: shutil.copy(stale / "graphs" / "encoder.pt", folder / "graphs" / "encoder.pt"))
    verdict = judge_only(artifact, tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    failures = " ".join(verdict.failures())
    assert "vectors: real texts[document]: Failed: min_cosine is" in failures
    for area in ("keywords", "neighbours", "hostile"):
        assert f"{area}: " in failures
    # Every figure is on record, not only the first one out of bounds; and in junit.xml, beside its bound.
    (check,) = [check for check in verdict.checks if check.name == "vectors: real texts[document]"]
    names = {"max_abs_difference", "max_norm_difference", "max_rel_difference", "min_cosine"}
    assert set(check.figures) == names
    junit = (tmp_path / "reports" / "junit.xml").read_text("utf-8")
    assert f'name="min_cosine" value="{check.figures["min_cosine"]}"' in junit
    assert str(check.figures["min_cosine"]).endswith("(at least 0.9999)")
    worst = json.loads((tmp_path / "reports" / "evidence" / "worst.json").read_text("utf-8"))
    assert worst[0]["rbo"] <= worst[-1]["rbo"] < 1


@pytest.mark.heavy
def test_truncation_at_half_the_length_is_refused(forge: Any, tiny_source: Path, tmp_path: Path, golden: Path) -> None:
    manifest = read_manifest(forge())
    shutil.rmtree(tmp_path / "forged")
    short = {name: replace(spec, max_length=24) for name, spec in manifest.encoders.items()}
    verdict = judge(forge(encoders=short), tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    assert any("vectors: every length" in failure for failure in verdict.failures())
    # Its bytes are what was compiled, so it may be loaded: that it is refused is no reason not to know its speed.
    assert json.loads((tmp_path / "reports" / "latency.json").read_text())["compiled"]["p50_ms"] > 0


@pytest.mark.usefixtures("warm_start")
def test_damaged_artifact_is_a_negative_verdict_without_loading_it(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    folder = Path(shutil.copytree(tiny_artifact, tmp_path / "damaged"))
    (folder / "graphs" / "encoder.pt").write_bytes(b"not a graph")
    verdict = judge(folder, tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    assert "graphs/encoder.pt has 11 bytes" in " ".join(verdict.failures())
    assert json.loads((tmp_path / "reports" / "latency.json").read_text()) == {}


def test_checks_that_never_finish_are_a_negative_verdict(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    verdict = judge(tiny_artifact, tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    assert "the checks did not finish: exit code 1" in verdict.failures()[0]
    assert not read_verdict(tmp_path / "reports" / "verdict.json").passed


def test_verdict_of_a_run_that_pytest_calls_failed_is_negative(tmp_path: Path) -> None:
    write_text(tmp_path / "verdict.json", to_json(asdict(Verdict(True, "abc", checks=[Check("a", "passed")]))))
    assert settle(tmp_path, 0).passed
    verdict = settle(tmp_path, 3)
    assert verdict.failures() == ["pytest ended with exit code 3"]
    assert not read_verdict(tmp_path / "verdict.json").passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no golden samples in it"),
        ('{"id": 1, "text": "fine"}\n{"id": 2}\n', "line 2: expected"),
        ('{"id": 1, "text": "fine"}\n\nnot json\n', "line 3: expected"),
        ('{"id": 1, "text": "  "}\n', "line 1: `text` has to be text, and some"),
    ],
)
def test_golden_file_that_is_none_names_the_line(
    text: str, message: str, tiny_artifact: Path, tiny_source: Path, tmp_path: Path
) -> None:
    (tmp_path / "golden.jsonl").write_text(text)
    with pytest.raises(ModelkilnError, match=message):
        judge(tiny_artifact, tiny_source, tmp_path / "reports", tmp_path / "golden.jsonl")
    assert not (tmp_path / "reports").exists()
    shipped = replace(PARAMS, golden=str(SHIPPED), corpus=str(tmp_path / "golden.jsonl"))
    with pytest.raises(ModelkilnError, match=message.replace("golden samples", "corpus")):
        validate(tiny_artifact, tiny_source, tmp_path / "reports", shipped, asked_of(tiny_artifact))


@pytest.mark.heavy
@pytest.mark.usefixtures("warm_start")
def test_corpus_without_gold_key_phrases_is_compared_and_not_graded(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(to_line(f"d{i}", f"The weir at Low Marsh, gate {i}, was closed.") for i in range(13)))
    verdict = judged(tiny_artifact, tiny_source, tmp_path, replace(PARAMS, golden=str(golden), corpus=str(corpus)))
    assert verdict.passed
    assert (verdict.golden, verdict.corpus) == (sha256(golden), sha256(corpus))
    checks = {check.name: check for check in verdict.checks}
    assert checks["quality: gold key phrases"].outcome == "not applicable"
    assert "the corpus has no gold key phrases" in checks["quality: gold key phrases"].reason
    assert checks["keywords: corpus[top n 5]"].figures["agreement"].value == 1
    assert checks["neighbours: ten nearest documents[document]"].outcome == "passed"
    rows = json.loads((tmp_path / "reports" / "evidence" / "documents.json").read_text("utf-8"))
    assert {row["set"] for row in rows} == {"golden", "corpus"}


@pytest.mark.usefixtures("warm_start")
def test_settings_and_plugins_of_the_user_have_no_say(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meddler.py").write_text("def pytest_collection_modifyitems(items): items.clear()\n")
    (tmp_path / "meddler-1.dist-info").mkdir()
    (tmp_path / "meddler-1.dist-info" / "METADATA").write_text("Name: meddler\nVersion: 1\n")
    (tmp_path / "meddler-1.dist-info" / "entry_points.txt").write_text("[pytest11]\nmeddler = meddler\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    params = replace(PARAMS, golden=str(golden), corpus=str(golden))
    verdict = judged(tiny_artifact, tiny_source, tmp_path, params, "-k", "sealed")
    assert [check.outcome for check in verdict.checks] == ["passed"]


@pytest.mark.usefixtures("warm_start")
def test_uncompiled_model_that_cannot_be_loaded_is_said(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    source = Path(shutil.copytree(tiny_source, tmp_path / "source"))
    (source / "model.safetensors").write_bytes(b"no weights")
    verdict = judge_only(tiny_artifact, source, tmp_path / "reports", golden)
    assert not verdict.passed
    said = [failure for failure in verdict.failures() if "the uncompiled model can't be loaded" in failure]
    assert said
    assert all("dvc repro download" in failure for failure in said)


@pytest.mark.usefixtures("warm_start")
def test_check_that_crashes_has_failed(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crasher.py").write_text(
        "from modelkiln import parity\n"
        "def crash(*arguments): raise ZeroDivisionError('a bug in the check')\n"
        "parity.neighbours_overlap = crash\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    params = replace(PARAMS, golden=str(SHIPPED), corpus=str(SHIPPED))
    verdict = judged(tiny_artifact, tiny_source, tmp_path, params, "-p", "crasher")
    assert not verdict.passed
    assert len(verdict.failures()) == 3  # of documents by one of the encoders, which are the same, of words by both
    assert all("neighbours: " in failure and "a bug in the check" in failure for failure in verdict.failures())
