"""Sweeps on Ray: where cells run, what is retried, and that a node which dies takes no cell along but its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clone import TEXTS, Clone
from sweep.small import Small, make_small, start

from modelkiln import ModelkilnError
from modelkiln.sweep import attempts, on_ray, sweeping
from modelkiln.sweep.attempts import DONE, FAILED, LOST

heavy = pytest.mark.heavy
BACKENDS = ["aotinductor", "neuron", "onnxruntime", "onnxruntime-int8", "openvino", "openvino-bf16"]
SECONDS = 300  # a busy machine takes more than a minute to start a node


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setitem(sys.modules, "ray", None)
    needed = pytest.raises(ModelkilnError, match=r"--engine ray needs Ray .*pip install 'modelkiln\[sweep\]'")
    with needed, on_ray._connected(on_ray.Cluster()):
        pass
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_neuron_cells_need_neuron_nodes_and_others_a_processor() -> None:
    cluster = sweeping.cluster(None, 2, 0.5, [])
    assert cluster.needs("onnxruntime") == {"CPU": 0.5}
    assert cluster.needs("neuronx") == {"CPU": 0.5, "neuron_cores": 1.0}
    assert cluster.needs("neuron") == {"CPU": 0.5, "inf1": 1.0}
    other = sweeping.cluster(None, None, 1, ["neuronx=trn1:2", "openvino=amx:0.5"])
    assert other.needs("neuronx") == {"CPU": 1, "trn1": 2.0}
    assert other.needs("openvino") == {"CPU": 1, "amx": 0.5}
    assert other.needs("neuron") == {"CPU": 1, "inf1": 1.0}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("neuron", r"expected BACKEND=RESOURCE:N"),
        ("neuron=inf1", r"expected BACKEND=RESOURCE:N"),
        ("neuron=inf1:many", r"expected BACKEND=RESOURCE:N"),
        ("neuron=inf1:0", r"expected BACKEND=RESOURCE:N"),
        ("neuran=inf1:1", r"unknown backend \(did you mean 'neuron'\?\)"),
    ],
)
def test_place_that_means_nothing_is_refused(place: str, reason: str) -> None:
    with pytest.raises(ModelkilnError, match=reason):
        sweeping.cluster(None, None, 1, [place])


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make_small(tmp_path / "small")


@pytest.fixture
def nodes(small: Small, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head and two raylets, one CPU each; the second says that it has two Neuron cores."""
    pytest.importorskip("ray", reason="the extra `sweep` is not installed")
    for name, value in small.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", str(SECONDS))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    second = cluster.add_node(num_cpus=1, resources={"neuron_cores": 2})
    yield cluster, second
    cluster.shutdown()


def kill(node: Any) -> None:
    """As a machine that loses power: the raylet and its workers at once, since a worker alone would go on a while."""
    (raylet,) = node.all_processes["raylet"]
    for process in [*psutil.Process(raylet.process.pid).children(recursive=True), raylet.process]:
        process.kill()


def sweep(address: str, small: Small, *further: str) -> tuple[str, ...]:
    chosen = ("--variant", "base", "--backend", ",".join(BACKENDS))
    place = ("--address", address, "--repository", str(small.folder))
    return ("sweep", "--engine", "ray", *chosen, *place, *further)


@heavy
def test_sweep_completes_though_a_raylet_is_killed(nodes: Any, small: Small) -> None:
    cluster, second = nodes
    small.environment["SMALL_SECONDS"] = "5"
    process = start(*sweep(cluster.address, small, "--retries", "1"), project=small)
    table = small.folder / attempts.TABLE
    # Each node has done one, and is at work on another.
    wait_for(lambda: len({made.node for made in attempts.read(table)} - {""}) == 2, process)
    killed = second.node_id[:8]
    kill(second)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    made = attempts.read(table)
    outcomes = Counter(attempt.outcome for attempt in made)
    lost = [attempt for attempt in made if attempt.outcome == LOST]
    assert len(lost) == 1
    assert lost[0].reason.startswith("the worker was lost: ")
    # It was made again, elsewhere; nobody has inf1, and that cell failed alone, without being retried in vain.
    again = [attempt for attempt in made if attempt.cell == lost[0].cell]
    assert [attempt.outcome for attempt in again] == [LOST, DONE]
    assert not again[1].node.endswith(killed)
    assert outcomes == {DONE: len(BACKENDS) - 1, LOST: 1, FAILED: 1}
    assert [a.reason for a in made if a.outcome == FAILED] == [
        "no node of the cluster has 1 CPU and 1 inf1: `ray start --address … --resources …` on one that has"
    ]
    assert len(small.experiments) == len(BACKENDS) - 1
    assert "5 of 6 cells have an experiment, 1 have failed" in said
    assert {line.split()[0] for line in small.ran} == {"compile", "validate"}
    assert not list(Path(small.environment["MODELKILN_CACHE"]).glob("sweep/clones/*"))
    # Whoever asks again has only what is left to do.
    ran = small.ran
    done = small.modelkiln(*sweep(cluster.address, small))
    assert "5 of 6 cells have an experiment on" in done.stderr
    assert small.ran == ran
    assert f"{FAILED}: no node of the cluster has 1 CPU and 1 inf1" in small.modelkiln("leaderboard").stdout


@heavy
def test_cells_run_where_their_resources_are_and_failures_are_retried_as_told(nodes: Any, small: Small) -> None:
    cluster, second = nodes
    place = ("--place", "neuron=neuron_cores:2", "--place", "openvino=neuron_cores:1")
    done = small.modelkiln(*sweep(cluster.address, small, "--retries", "2", *place))
    made = attempts.read(small.folder / attempts.TABLE)
    neuron = [attempt for attempt in made if attempt.cell.endswith("+neuron")]
    assert [(a.outcome, a.number, a.reason) for a in neuron] == [
        (FAILED, number, "compile: torch_neuron is not installed") for number in (1, 2, 3)
    ]
    for attempt in made:
        if attempt.cell.split("+")[2].split("-")[0] in ("neuron", "openvino"):
            assert attempt.node.endswith(second.node_id[:8])
    assert "5 of 6 cells have an experiment, 1 have failed" in done.stderr
    shown = small.modelkiln("leaderboard").stdout
    assert "failed: compile: torch_neuron is not installed (attempt 3)" in shown


@heavy
def test_sweep_that_is_stopped_leaves_nothing_running_and_is_taken_up_again(nodes: Any, small: Small) -> None:
    cluster, _ = nodes
    small.environment["SMALL_SECONDS"] = "5"
    process = start(*sweep(cluster.address, small), project=small)
    wait_for(lambda: bool(small.experiments), process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0, said
    clones = Path(small.environment["MODELKILN_CACHE"]) / "sweep" / "clones"
    wait_for(lambda: not list(clones.iterdir()))
    before = small.experiments
    assert 0 < len(before) < len(BACKENDS) - 1
    done = small.modelkiln(*sweep(cluster.address, small))
    assert f"{len(before)} of 6 cells have an experiment on" in done.stderr
    assert len(small.experiments) == len(BACKENDS) - 1


@heavy
def test_local_ray_runs_the_real_pipeline_for_the_tiny_model(clone: Clone) -> None:
    """Without an address: Ray is started here, sees the project's cache and its embedded registry, and is gone."""
    pytest.importorskip("ray", reason="the extra `sweep` is not installed")
    clone.environment |= {"RAY_raylet_start_wait_time_s": str(SECONDS), "MODELKILN_CACHE": str(clone.folder) + ".cache"}
    clone.modelkiln("register-trained", *trained(clone))
    chosen = ("--model", "tiny", "--variant", "base,trained", "--backend", "generic", "--workers", "2")
    texts = [part for each in TEXTS for part in ("-S", each)]
    done = clone.modelkiln("sweep", "--engine", "ray", *chosen, *texts)
    assert "2 of 2 cells have an experiment, 0 have failed" in done.stderr
    assert clone.run("git", "status", "--porcelain").stdout == ""


def trained(clone: Clone) -> tuple[str, ...]:
    import yaml

    model = yaml.safe_load((clone.folder / "conf/model/tiny.yaml").read_text())["download"]["sources"]["local"]["path"]
    return str(model), "keywords-tiny-trained"  # where the variant `trained` looks for it


def wait_for(condition: Any, process: Any = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.2)
