"""A machine with the artifact, the recording and the runtime alone judges as the machine that had the model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm
from compiling import asked_of, compile_here, fetch_local
from tiny import build_tiny_model

from modelkiln import ModelkilnError, recording, suite, tasks, validation
from modelkiln.artifact import read_manifest, seal
from modelkiln.bounds import STRICT
from modelkiln.files import sha256, to_json
from modelkiln.params import Validate
from modelkiln.recording import Facts, Said, answers_key, graph_key, row_key, text_key
from modelkiln.verdict import Check, Figure, Verdict, completed, read_verdict

# What a machine that serves need not have.
ABSENT = ["dvc", "hydra", "jinja2", "keybert", "matplotlib", "mlflow", "neptune", "omegaconf", "pandas", "psutil"]
ABSENT += ["scipy", "sentence_transformers", "sklearn", "transformers", "yaml"]
HOOK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (it is not installed here)", name=name)
sys.meta_path.insert(0, Absent())
"""
VECTORS = ("-k", "real_texts")
TEXTS = ["tram", "The weir was closed."]
REVISION = {"model": "tiny", "files": {"model.safetensors": "0" * 64}}


@pytest.fixture(scope="module")
def judged(tiny_artifact: Path, tiny_source: Path, golden: Path, made_once: Any) -> Path:
    """The reports of the machine that has the uncompiled model, and its recording."""

    def make(folder: Path) -> None:
        folder.mkdir()
        with warm.start():
            params = Validate(STRICT, str(golden), str(golden), 0)
            validation.judge(tiny_artifact, tiny_source, folder, params, asked_of(tiny_artifact))

    return made_once("judged", make)


@pytest.fixture
def recorded(judged: Path, tmp_path: Path) -> Path:
    """A copy of its recording, all that is carried over."""
    return Path(shutil.copytree(judged / "evidence" / "reference", tmp_path / "reference"))


@pytest.fixture
def rewrite(recorded: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes what the recording's index says."""

    def change(alter: Callable[[dict[str, Any]], object]) -> None:
        index = json.loads((recorded / "reference.json").read_text())
        alter(index)
        (recorded / "reference.json").write_text(json.dumps(index))

    return change


def only(verdict: Verdict, name: str) -> Check:
    (check,) = [check for check in verdict.checks if check.name == name]
    return check


def test_with_the_runtime_alone_the_verdict_is_the_same(
    judged: Path, recorded: Path, tiny_artifact: Path, tmp_path: Path, modelkiln_command: Any
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    refused = modelkiln_command("compose", "--help", env=environment)
    assert "it is not installed here" in modelkiln_command("compose", env=environment).stderr, refused.stderr
    done = modelkiln_command(
        "verify", tiny_artifact, "--reference", recorded, "--reports", tmp_path / "verified", env=environment
    )
    assert done.returncode == 0, done.stderr
    count = len(read_verdict(judged / "verdict.json").applicable())
    assert f"passed: all {count} checks by {recorded}" in done.stdout
    for name in ("verdict.json", "predictions.json", "evidence/worst.json", "evidence/lengths.json"):
        assert (tmp_path / "verified" / name).read_bytes() == (judged / name).read_bytes(), name
    assert not (tmp_path / "verified" / "evidence" / "reference").exists()


@pytest.mark.usefixtures("warm_start")
def test_graph_of_another_model_is_refused(recorded: Path, tiny_artifact: Path, tmp_path: Path) -> None:
    other = fetch_local(build_tiny_model(tmp_path / "model", seed=1), tmp_path / "source", "tiny")
    stale = compile_here("generic", other, tmp_path / "stale", 48)
    forged = Path(shutil.copytree(tiny_artifact, tmp_path / "forged"))
    shutil.copy(stale / "graphs" / "encoder.pt", forged / "graphs" / "encoder.pt")
    seal(forged, read_manifest(forged))
    verdict = suite.judge_by_recording(forged, recorded, tmp_path / "reports", None, *VECTORS)
    assert "min_cosine is" in only(verdict, "vectors: real texts[document]").reason
    # Of another source than the recording's: that is said, before anybody wonders about its vectors.
    verdict = suite.judge_by_recording(stale, recorded, tmp_path / "reports", None, "-k", "test_artifact")
    assert only(verdict, "artifact: was compiled from this source").outcome == "failed"
    assert only(verdict, "artifact: source is as it was fetched").outcome == "passed"


@pytest.mark.usefixtures("warm_start")
def test_text_that_was_not_recorded_is_no_pass(recorded: Path, tiny_artifact: Path, tmp_path: Path) -> None:
    """An artifact that asks for other texts, as one of another envelope does."""
    short = Path(shutil.copytree(tiny_artifact, tmp_path / "short"))
    manifest = read_manifest(short)
    seal(short, replace(manifest, encoders={n: replace(e, max_length=30) for n, e in manifest.encoders.items()}))
    verdict = suite.judge_by_recording(short, recorded, tmp_path / "reports", None, "-k", "every_length")
    reasons = [check.reason for check in verdict.failed()]
    assert any("has no vector of a text that this check asks for" in reason for reason in reasons), reasons


@pytest.mark.usefixtures("warm_start")
def test_negative_check_of_the_source_stays_negative(
    recorded: Path, rewrite: Any, tiny_artifact: Path, tmp_path: Path
) -> None:
    """And one that was not recorded is none that has passed."""
    name = "artifact: source is as it was fetched"

    def alter(index: dict[str, Any]) -> None:
        (check,) = [check for check in index["checks"] if check["name"] == name]
        check.update(outcome="failed", reason="altered")
        index["checks"] = [check]

    rewrite(alter)
    verdict = suite.judge_by_recording(tiny_artifact, recorded, tmp_path / "reports", None, "-k", "test_artifact")
    assert only(verdict, name) == Check(name, "failed", {"altered_source_files": Figure(0.0, 0, "at most")}, "altered")
    assert only(verdict, "noise: bounds are above the uncompiled models own noise").reason == "it was not recorded"
    assert not verdict.passed


@pytest.mark.parametrize(
    "name", ["vectors.npz", "ids.npz", "facts.json", "asked.json", "answers.json", "golden.jsonl", "revision.json"]
)
def test_recording_that_was_altered_judges_nothing(
    name: str, recorded: Path, tiny_artifact: Path, tmp_path: Path
) -> None:
    (recorded / name).write_bytes((recorded / name).read_bytes() + b" ")
    with pytest.raises(ModelkilnError, match=rf"{name} is missing or was altered"):
        suite.judge_by_recording(tiny_artifact, recorded, tmp_path / "reports")
    (recorded / name).unlink()
    with pytest.raises(ModelkilnError, match=rf"{name} is missing or was altered"):
        recording.read(recorded)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda index: index.update(format=9), "a recording of format 9; this modelkiln reads format 3"),
        (lambda index: index.update(checks=[{}]), "the recording is damaged"),
        (lambda index: index.update(bounds=3), "the recording is damaged"),
        (lambda index: index["files"].pop("answers.json"), "answers.json is not listed"),
        (lambda index: index["files"].update({"../golden.jsonl": "0"}), r"../golden.jsonl is missing or was altered"),
    ],
)
def test_index_that_is_wrong_is_one_line(alter: Any, said: str, recorded: Path, rewrite: Any) -> None:
    rewrite(alter)
    with pytest.raises(ModelkilnError) as raised:
        recording.read(recorded)
    assert said in str(raised.value)


def test_vectors_that_are_no_arrays_are_one_line(recorded: Path, rewrite: Any) -> None:
    (recorded / "vectors.npz").write_bytes(b"PK no arrays")
    digest = sha256(recorded / "vectors.npz")
    rewrite(lambda index: index["files"].update({"vectors.npz": digest}))
    with pytest.raises(ModelkilnError, match=r"vectors\.npz or ids\.npz is damaged"):
        recording.read(recorded)


def test_folder_without_a_recording_is_one_line(tiny_source: Path, tmp_path: Path, tiny_artifact: Path) -> None:
    with pytest.raises(ModelkilnError, match=r"no recording here.*validation leaves one in evidence/reference"):
        suite.judge_by_recording(tiny_artifact, tiny_source, tmp_path / "reports")


def test_what_was_said_is_read_as_it_was_written(tiny_artifact: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "recording"
    (source / "golden").mkdir(parents=True)
    (source / "revision.json").write_text(to_json(REVISION))
    (source / "golden" / "inputs.json").write_text('["tram"]')
    (tmp_path / "golden.jsonl").write_text('{"id": 1, "text": "tram"}\n')
    (tmp_path / "corpus.jsonl").write_text('{"id": 1, "text": "weir"}\n')
    vectors = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    mode = {"keyphrase_ngram_range": (1, 2)}
    answers = [[("tram", 0.5)], []]
    said = Said(dict(zip(map(text_key, TEXTS), vectors, strict=True)), answers={answers_key(TEXTS, mode): answers})
    check = Check("noise: x", "passed", {"a": Figure(0.5, None, "")})
    where = (source, tmp_path / "golden.jsonl", tmp_path / "corpus.jsonl")
    (folder / "stale").mkdir(parents=True)
    said.ids.update({text_key(TEXTS[0]): [2, 7, 3], text_key(TEXTS[1]): [2, 3]})
    said.vectors[row_key([2, 7, 3])] = vectors[0] * 2
    manifest = read_manifest(tiny_artifact)
    said.graphs[graph_key(manifest)] = {"encoder.onnx": "ab"}
    said.facts = Facts(4, 0, 9, {"model": {"type": "WordPiece"}}, {"stop_words.json": {"english": ["a"]}})
    recording.write(folder, said, *where, None, asdict(STRICT), {check.name: check})
    assert not (folder / "stale").exists()
    read = recording.read(folder)
    assert (read.bounds, read.checks) == (asdict(STRICT), {check.name: check})
    assert (read.embed(TEXTS[::-1]) == vectors[::-1]).all()
    # JSON has a list where the mode has a tuple.
    assert read.answers(tasks.load("keywords"), TEXTS, {"keyphrase_ngram_range": [1, 2]}) == answers
    assert (read.golden.read_text(), read.corpus.read_text()) == (where[1].read_text(), where[2].read_text())
    assert json.loads((folder / "golden" / "inputs.json").read_text()) == ["tram"]
    assert read.token_ids(TEXTS[::-1]) == [[2, 3], [2, 7, 3]]
    assert (read.embed_rows([[2, 7, 3]]) == vectors[:1] * 2).all()
    assert read.facts(tasks.load("keywords")) == said.facts
    assert read.graph(manifest) == {"encoder.onnx": "ab"}
    with pytest.raises(ModelkilnError, match="of another backend, precision, length or options"):
        read.graph(replace(manifest, precision="int8"))
    for ask in (lambda: read.embed(["another"]), lambda: read.embed_rows([[2]]), lambda: read.token_ids(["another"])):
        with pytest.raises(ModelkilnError, match=r"has no (vector|tokens) of a text"):
            ask()
    with pytest.raises(ModelkilnError, match="has no answers to these texts in this mode"):
        read.answers(tasks.load("keywords"), TEXTS[::-1], mode)
    assert read.corpus == folder / "corpus.jsonl"


LACKED = Verdict(
    False, "abc", source={"id": "x"}, bounds={"atol": 1.0}, golden="g", corpus="c", error="not validated on a device: x"
)
PASSED = replace(LACKED, passed=True, error="", checks=[Check("a", "passed")])


def test_verdict_of_the_device_completes_the_validation_s() -> None:
    assert completed(LACKED, PASSED) is PASSED
    assert completed(replace(PASSED, checks=[Check("b", "passed")]), PASSED) is PASSED  # here and there
    negative = replace(PASSED, passed=False, checks=[Check("a", "failed")])
    assert completed(LACKED, negative) is negative  # which upload refuses


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"artifact": "def"}, "another artifact than"),
        ({"source": {"id": "y"}, "bounds": {"atol": 9.0}}, "another source and another bounds than"),
        ({"golden": "h"}, "another golden"),
        ({"corpus": "d"}, "another corpus"),
    ],
)
def test_verdict_about_something_else_completes_nothing(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelkilnError, match=said):
        completed(LACKED, replace(PASSED, **changes))


@pytest.mark.parametrize(
    "verdict",
    [
        replace(LACKED, checks=[Check("a", "failed")]),
        replace(LACKED, error="the checks did not finish"),
        replace(LACKED, error="", checks=[Check("a", "failed")]),
    ],
)
def test_no_device_mends_what_failed_without_one(verdict: Verdict) -> None:
    with pytest.raises(ModelkilnError, match="own verdict is negative, whatever a device says: "):
        completed(verdict, PASSED)
