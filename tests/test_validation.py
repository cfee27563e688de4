"""The gate accepts a good artifact, refuses wrong ones by name, and takes no silence for consent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import compile_generic, fetch_local
from tiny import build_tiny_model

from modelkiln import ModelkilnError, validation
from modelkiln.artifact import Manifest, read_manifest, seal
from modelkiln.bounds import STRICT
from modelkiln.files import to_json, write_text
from modelkiln.params import Validate
from modelkiln.validation import _settle, validate
from modelkiln.verdict import Check, Verdict, read_verdict

PARAMS = Validate(STRICT, golden="", corpus="")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the golden samples: the tiny model's checks are about the gate, not about the texts."""
    from modelkiln.golden import SHIPPED

    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    path.write_text("".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[::6]), "utf-8")
    return path


def judge(artifact: Path, source: Path, reports: Path, golden: Path) -> Verdict:
    return validate(artifact, source, reports, replace(PARAMS, golden=str(golden), corpus=str(golden)))


def judge_only(artifact: Path, source: Path, reports: Path, golden: Path) -> Verdict:
    """Without the profile, which starts the uncompiled model twice more."""
    reports.mkdir()
    return validation.judge(artifact, source, reports, replace(PARAMS, golden=str(golden), corpus=str(golden)))


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


def test_good_artifact_passes_and_leaves_its_reports(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    first = judge(tiny_artifact, tiny_source, tmp_path / "first", golden)
    assert first.passed
    assert first.artifact == read_manifest(tiny_artifact).digest
    names = {path.name for path in (tmp_path / "first").iterdir()} - {"evidence"}
    assert names == {"junit.xml", "latency.json", "metrics.json", "predictions.json", "verdict.json"}
    predictions = json.loads((tmp_path / "first" / "predictions.json").read_text())
    assert len(predictions["predictions"]) == len(predictions["inference_params"]) == 4
    assert len(predictions["predictions"][0]) == len(predictions["inputs"]) == 5
    metrics = json.loads((tmp_path / "first" / "metrics.json").read_text())
    assert (metrics["passed"], metrics["failed"], metrics["agreement"]) == (1, 0, 1.0)
    assert json.loads((tmp_path / "first" / "latency.json").read_text())["compiled"]["p50_ms"] > 0
    # What upload depends on holds no time: the same judgement is the same bytes.
    judge_only(tiny_artifact, tiny_source, tmp_path / "second", golden)
    for name in ("verdict.json", "predictions.json", "metrics.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_graph_of_another_model_is_refused_by_its_vectors(
    forge: Any, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    other = fetch_local(build_tiny_model(tmp_path / "model", seed=1), tmp_path / "source", "tiny")
    stale = compile_generic(other, tmp_path / "stale", 48)
    artifact = forge(lambda folder: shutil.copy(stale / "graphs" / "encoder.pt", folder / "graphs" / "encoder.pt"))
    verdict = judge_only(artifact, tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    failures = " ".join(verdict.failures())
    assert "vectors: golden texts[document]: Failed: min_cosine is" in failures
    assert "keywords: golden samples in every mode" in failures


def test_truncation_at_half_the_length_is_refused(forge: Any, tiny_source: Path, tmp_path: Path, golden: Path) -> None:
    manifest = read_manifest(forge())
    shutil.rmtree(tmp_path / "forged")
    short = {name: replace(spec, max_length=24) for name, spec in manifest.encoders.items()}
    verdict = judge(forge(encoders=short), tiny_source, tmp_path / "reports", golden)
    assert not verdict.passed
    assert any("vectors: golden texts" in failure for failure in verdict.failures())
    # Its bytes are what was compiled, so it may be loaded: that it is refused is no reason not to know its speed.
    assert json.loads((tmp_path / "reports" / "latency.json").read_text())["compiled"]["p50_ms"] > 0


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
    assert _settle(tmp_path, 0).passed
    verdict = _settle(tmp_path, 3)
    assert verdict.failures() == ["pytest ended with exit code 3"]
    assert not read_verdict(tmp_path / "verdict.json").passed


def by_hand(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--pyargs",
        "modelkiln.checks",
        "-p",
        "no:cacheprovider",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_suite_runs_by_hand_on_any_artifact(tiny_artifact: Path, tiny_source: Path, golden: Path) -> None:
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--golden", golden, "-q")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_collecting_nothing_is_a_negative_verdict(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-k", "no_such_check")
    assert done.returncode == 5
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert verdict.failures() == ["pytest found no checks to run"]


def test_part_of_the_checks_is_a_negative_verdict(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-k", "sealed")
    assert done.returncode == 0
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert verdict.failures() == ["12 checks were deselected"]


def test_skipped_check_is_a_negative_verdict(
    tiny_artifact: Path, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    (tmp_path / "skipper.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'sealed' not in item.name: item.add_marker(pytest.mark.skip(reason='too slow'))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = by_hand("--artifact", tiny_artifact, "--source", tiny_source, "--reports", tmp_path, "-p", "skipper")
    assert done.returncode == 0
    verdict = read_verdict(tmp_path / "verdict.json")
    assert not verdict.passed
    assert len(verdict.failures()) == 12
    assert verdict.failures()[0].endswith("Skipped: too slow")


def test_missing_option_is_one_line(tmp_path: Path) -> None:
    assert "ERROR: --artifact: is missing" in by_hand("--source", tmp_path).stderr
    assert (
        f"ERROR: --source: no folder {tmp_path}/x" in by_hand("--artifact", tmp_path, "--source", tmp_path / "x").stderr
    )


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
