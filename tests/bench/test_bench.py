"""`modelkiln bench`, on the tiny model: real peers, real processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import build_tiny_model

from modelkiln.bench.peers import BASE, NAMES
from modelkiln.checks import fresh
from modelkiln.golden import read_samples


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents") / "four.jsonl"
    path.write_text("".join(json.dumps({"id": s.id, "text": s.text}) + "\n" for s in read_samples()[:4]))
    return path


def test_table_and_json_say_what_was_measured(
    modelkiln_command: Any, table_artifact: Path, tiny_source: Path, documents: Path, tmp_path: Path
) -> None:
    done = modelkiln_command(
        *("bench", table_artifact, "--source", tiny_source, "--documents", documents, "--output", "figures.json"),
        *(
            "--peers",
            "keybert,modelkiln,warm",
            "--ngrams",
            "1,1",
            "--ngrams",
            "1,2",
            "--in-a-call",
            "1,3",
            "--rounds",
            "2",
        ),
        *("--starts", "1"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["max_length"] == 48
    assert not report["failed"]
    found = {(f["peer"], tuple(f["ngrams"]), f["in_a_call"]): f for f in report["figures"]}
    both = ((1, 1), (1, 2))
    cold = {(NAMES[peer], ngrams, number) for peer in (BASE, "modelkiln") for ngrams in both for number in (1, 3)}
    assert set(found) == cold | {(NAMES["warm"], ngrams, 1) for ngrams in both}
    for (peer, ngrams, in_a_call), figure in found.items():
        warm = peer == NAMES["warm"]  # measured on the second half, after the first
        assert (figure["documents"], figure["rounds"]) == (2 if warm else 4 if in_a_call == 1 else 3, 2)
        assert figure["before"] == (2 if warm else -1)
        assert figure["agreement"] == (None if peer == NAMES[BASE] else 1.0)
        assert (figure["p50_ms"] is None) == (figure["p99_ms"] is None) == (in_a_call == 3)
        shown = f"{peer} (after 2 documents)" if warm else peer
        rate = f"{figure['documents_per_s']:.2f}"
        line = f"| ({ngrams[0]},{ngrams[1]}) | {in_a_call} | 1 | {shown} | {figure['documents']} | {rate} |"
        assert line in done.stdout
    starts = {start["peer"]: start for start in report["starts"]}
    assert starts["modelkiln"]["first_peak_mb"] < starts[NAMES[BASE]]["first_peak_mb"]
    assert "torch" not in starts["modelkiln"]["versions"]
    assert str(tmp_path.parent) not in json.dumps(report)  # no path of this machine


@pytest.mark.usefixtures("warm_start")
def test_another_model_s_keywords_are_not_called_the_same(
    modelkiln_command: Any, table_artifact: Path, documents: Path, tmp_path: Path
) -> None:
    other = build_tiny_model(tmp_path / "other", seed=1)
    done = modelkiln_command(
        *("bench", table_artifact, "--source", other, "--documents", documents, "--output", "figures.json"),
        *("--in-a-call", "1", "--rounds", "1", "--starts", "1"),
    )
    assert done.returncode == 0, done.stderr
    (figure,) = [f for f in json.loads((tmp_path / "figures.json").read_text())["figures"] if f["peer"] == "modelkiln"]
    assert figure["agreement"] < 0.5
    assert done.stdout.splitlines()[5].endswith(f"| {100 * figure['agreement']:.3g}% |")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "keybert,spacy"], "no such peer: spacy; there are: keybert, modelkiln"),
        (["--peers", "keybert,onnx"], "onnx: needs an environment of its own"),
        (["--source", "nowhere"], "nowhere: no uncompiled model"),
        (["--source", "nowhere", "--peers", "modelkiln,pipeline"], "measure the artifact alone with --peers modelkiln"),
        (["--ngrams", "2"], "--ngrams: expected two numbers, as 1,2; found '2'"),
        (["--threads", "0"], "--threads: expected whole numbers of at least 1"),
    ],
)
def test_what_can_t_be_measured_is_refused(
    arguments: list[str], message: str, modelkiln_command: Any, table_artifact: Path, tiny_source: Path
) -> None:
    done = modelkiln_command("bench", table_artifact, "--source", tiny_source, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


# An import hook for every process: what serves has the artifact and its runtime, and none of these.
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    ("backend", "runtime"),
    [
        ("onnxruntime", {"onnxruntime"}),
        ("neuronx", {"torch"}),
        pytest.param("neuron", {"torch"}, marks=pytest.mark.heavy),
    ],
)
def test_artifact_is_measured_alone_where_there_is_nothing_but_its_runtime(
    backend: str,
    runtime: set[str],
    simulated: Callable[[str], Path],
    table_artifact: Path,
    documents: Path,
    modelkiln_command: Any,
    tmp_path: Path,
) -> None:
    artifact = simulated(backend) if backend.startswith("neuron") else table_artifact
    absent = {*fresh.HEAVY, "psutil", "jinja2", "safetensors", "hydra", "filelock"} - runtime
    (tmp_path / "sitecustomize.py").write_text(BARE.format(absent=sorted(absent)))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = modelkiln_command(
        *("bench", artifact, "--peers", "modelkiln", "--documents", documents, "--output", "figures.json"),
        *("--rounds", "1", "--starts", "1"),
        env={**os.environ, "PYTHONPATH": path, "NEURON_SIM_DEVICE": "inf2"},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    alone, together = report["figures"]
    assert (alone["in_a_call"], together["in_a_call"]) == (1, 4)  # twelve are asked for, and there are four
    assert 0 < alone["p50_ms"] <= alone["p95_ms"] <= alone["p99_ms"]
    assert min(alone["documents_per_s"], together["documents_per_s"], alone["peak_mb"]) > 0
    assert alone["ratio"] is alone["agreement"] is None
    (start,) = report["starts"]
    assert all(0 < load < first for load, first in zip(start["load_s"], start["first_s"], strict=True))
    assert set(start["versions"]) == {"modelkiln", "numpy", "python", "tokenizers", *runtime}
    speed, starts = [line for line in done.stdout.splitlines() if line.startswith(("| n-grams", "| peer"))]
    assert speed.endswith("| documents/s | p50 ms | p95 ms | p99 ms | peak MB |")
    assert starts == "| peer | threads | first keyword s | peak MB by then | files MB | versions |"
    assert done.stdout.startswith("Simulated: ") is backend.startswith("neuron")
