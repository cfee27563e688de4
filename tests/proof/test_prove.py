"""`modelkiln prove-gate` shows that the checks refuse what is broken, and says so where they do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from compiling import EXACT, compile_for, skip_where_absent
from ctrl_c import heed_ctrl_c
from imports import ROOT

from benchmarks.gate import merged
from modelkiln.artifact import read_manifest
from modelkiln.proof import texts
from modelkiln.proof.catalogue import choose
from modelkiln.proof.fault import Fault, Good, copy_good
from modelkiln.proof.processes import busy_machine
from modelkiln.proof.prove import BY_CHANCE, REFUSED, SLIPPED, Proof, Row, _files, _row, table
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict

FAULT = Fault("kind", "what is wrong", ("vectors", "keywords"), copy_good)


def row(*checks: Check, fault: Fault = FAULT) -> Row:
    passed = all(check.outcome == "passed" for check in checks)
    return _row(fault, Verdict(passed, "abc", checks=list(checks)), Path("/artifact"))


def test_row_names_the_check_the_figure_and_the_bound() -> None:
    figures = {"min_cosine": Figure(0.99999, 0.9999, "at least"), "max": Figure(0.25, 1e-4, "at most")}
    found = row(
        Check("artifact: bytes", "passed"),
        Check("keywords: modes", "failed", {}, "document 3"),
        Check("vectors: golden", "failed", figures, "max is 0.25"),
    )
    assert found == Row("kind", "what is wrong", REFUSED, "vectors: golden", "max 0.25", "at most 0.0001", 1)


def test_what_passed_slipped_through() -> None:
    assert row(Check("vectors: golden", "passed")).outcome == SLIPPED


def test_refusal_by_checks_of_something_else_is_none() -> None:
    reason = "/artifact/graphs/a.onnx and /tmp/1/b c/graph are off"
    found = row(Check("hostile: emoji", "failed", reason=reason))
    said = "not by vectors, keywords, but by hostile: emoji: graphs/a.onnx and …/graph are off"
    assert (found.outcome, found.reason) == (BY_CHANCE, said)


def test_error_of_loading_proves_no_check() -> None:
    checks = Check("vectors: golden", "error", reason="ModelkilnError"), Check("artifact: bytes", "error")
    assert row(*checks).outcome == BY_CHANCE
    refused = Fault("kind", "", ("artifact",), copy_good, loads=False)
    assert row(*checks, fault=refused).caught_by == "artifact: bytes"


def test_area_that_overlooks_what_is_grossly_wrong_is_blind() -> None:
    gross = Fault("kind", "", ("vectors",), copy_good, also=("keywords", "neighbours"))
    vectors = Check("vectors: golden", "failed")
    assert row(vectors, Check("keywords: modes", "failed"), fault=gross).outcome == REFUSED
    blind = row(vectors, Check("keywords: modes", "failed"), Check("neighbours: ten", "passed"), fault=gross)
    assert (blind.outcome, "not by neighbours" in blind.reason) == (BY_CHANCE, True)
    idle = Check("neighbours: ten", NOT_APPLICABLE)
    assert row(vectors, Check("keywords: modes", "failed"), idle, fault=gross).outcome == REFUSED


def test_failures_are_what_slipped_through_and_good_ones_refused() -> None:
    rows = [Row("a", "", REFUSED), Row("b", "", SLIPPED), Row("c", "", NOT_APPLICABLE), Row("d", "", BY_CHANCE)]
    failures = Proof(rows, 2, ["run 2 was refused"]).failures()
    assert failures == ["b: slipped through", "d: refused by others", "run 2 was refused"]
    assert table(rows).splitlines()[3].startswith("| b |  | slipped through |")


def test_page_has_a_table_for_each_backend() -> None:
    from benchmarks.gate import page

    rows = [Row("a", "wrong", REFUSED, "vectors: b", "max 2", "at most 1", 3), Row("c", "", SLIPPED)]
    rows.append(Row("d", "", NOT_APPLICABLE, reason="no bias"))
    shown = page({"generic": {"rows": [asdict(row) for row in rows], "good_runs": 20, "refusals": []}}, "a machine")
    assert "## generic\n\n1 of 2 broken artifacts refused by a check that is there for it (1 kinds do" in shown
    assert "| `a` | wrong | vectors: b | max 2 | at most 1 | 3 |" in shown
    assert "| `c` |  | **slipped through** |" in shown


def test_kinds_that_are_not_asked_for_again_keep_their_rows() -> None:
    earlier = {"rows": [{"kind": "a"}, {"kind": "b", "others": 1}], "good_runs": 20, "refusals": []}
    again = {"rows": [{"kind": "b", "others": 2}], "good_runs": 0, "refusals": []}
    rows = [{"kind": "a"}, {"kind": "b", "others": 2}]
    assert merged(earlier, again) == {"rows": rows, "good_runs": 20, "refusals": []}
    assert merged(None, again) == again
    assert merged(earlier, {**again, "good_runs": 2, "refusals": ["x"]})["refusals"] == ["x"]


def test_named_checks_are_the_files_of_the_areas() -> None:
    fault = replace(FAULT, areas=("vectors: compiled vocabulary", "vectors"), also=("hostile",))
    assert _files(fault) == "(test_vectors.py and test_compiled_vocabulary) or (test_vectors.py) or (test_hostile.py)"


def test_machine_is_kept_busy_no_longer_than_asked() -> None:
    before = psutil.Process().children()
    with busy_machine():
        children = set(psutil.Process().children()).difference(before)
        assert len(children) >= (os.cpu_count() or 1)
    assert not [child for child in children if child.is_running()]


@pytest.mark.usefixtures("warm_start")
def test_broken_ones_are_refused_by_the_checks_that_are_for_them(
    modelkiln_command: Any, table_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    kinds = "byte-flipped:tokenizer.json,race,bias-left-out"
    done = modelkiln_command(
        *("prove-gate", table_artifact, "--source", tiny_source, "--golden", golden, "--kinds", kinds),
        *("--good-runs", "0", "--checks", "named", "--output", "proof.json"),
    )
    assert done.returncode == 0, done.stderr
    rows = {row["kind"]: row for row in json.loads((tmp_path / "proof.json").read_text())["rows"]}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "bias-left-out": NOT_APPLICABLE,
        "byte-flipped:tokenizer.json": REFUSED,
        "race": REFUSED,
    }
    assert "tokenizer.json was altered" in rows["byte-flipped:tokenizer.json"]["reason"]
    assert "| race | calls in two threads share one buffer | refused | invariance: " in done.stdout


@pytest.mark.usefixtures("warm_start")
def test_what_slips_through_is_said_in_one_line(
    modelkiln_command: Any, table_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    loose = {name: 0.0 if name.startswith("min") else 1.0 for name in params["validate"]["bounds"]}
    params["validate"]["bounds"] = loose
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = modelkiln_command(
        *("prove-gate", table_artifact, "--source", tiny_source, "--golden", golden, "--params", "params.yaml"),
        *("--kinds", "cache-confused", "--good-runs", "0"),
    )
    assert done.returncode == 1
    said = "modelkiln: the checks can't be trusted: cache-confused: slipped through"
    assert done.stderr.splitlines()[-1] == said


def test_kinds_are_listed_without_judging(modelkiln_command: Any, table_artifact: Path) -> None:
    listed = modelkiln_command("prove-gate", table_artifact, "--list").stdout
    for part in ("layer-skipped", "one layer skipped [vectors]", "byte-flipped:vocabulary/vectors.npy", "race"):
        assert part in listed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_leaves_nothing_behind(
    number: int, table_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    command = [sys.executable, "-m", "modelkiln.cli", "prove-gate", str(table_artifact), "--source", str(tiny_source)]
    command += ["--golden", str(golden), "--kinds", "byte-flipped:tokenizer.json", "--good-runs", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, preexec_fn=heed_ctrl_c)
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(running.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(tmp_path.glob("modelkiln-*"))
    running.send_signal(number)
    assert running.wait(30) != 0
    assert not list(tmp_path.glob("modelkiln-*"))  # onnxruntime leaves a file of its own there
    # Without a parent it waits for whoever reaps orphans here; it runs no more.
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.heavy
def test_good_artifact_that_is_refused_ends_the_proof(
    modelkiln_command: Any, table_artifact: Path, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    (cut,) = choose(list(texts.FAULTS), "cut-at-half")
    (tmp_path / "cut").mkdir()
    cut.make(Good(table_artifact, tiny_source, read_manifest(table_artifact)), tmp_path / "cut")
    done = modelkiln_command(
        *("prove-gate", tmp_path / "cut", "--source", tiny_source, "--golden", golden, "--kinds", "file-added")
    )
    assert done.returncode == 1
    assert "the checks can't be trusted: the good artifact was refused: " in done.stderr.splitlines()[-1]
    assert "file-added" not in done.stdout


@pytest.mark.heavy
@pytest.mark.parametrize(("backend", "precision"), EXACT, ids=[backend for backend, _ in EXACT])
def test_every_kind_is_refused_and_the_good_one_is_accepted_under_load(
    backend: str, precision: str, modelkiln_command: Any, tiny_source: Path, tmp_path: Path, golden: Path
) -> None:
    skip_where_absent(backend, precision)
    artifact = compile_for(backend, tiny_source, tmp_path / "good", 48, 64, "word", precision=precision)
    done = modelkiln_command(
        *("prove-gate", artifact, "--source", tiny_source, "--golden", golden, "--good-runs", "4"), timeout=7200
    )
    assert done.returncode == 0, done.stderr
