"""The profile: both in turns, on documents that they have not met, and an error where one of them can't."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import latency
from modelkiln.bench import peer as peer_module
from modelkiln.bench import peers as peers_module
from modelkiln.bench.peers import BASE, Limits, Places, choose
from modelkiln.bench.process import THREADS, Peer, PeerError, Process, environment
from modelkiln.golden import read_samples

ROUNDS = 2
TEXTS = [sample.text for sample in read_samples()]
FIGURES = {"load_s", "first_answer_s", "p50_ms", "p95_ms", "p99_ms", "docs_per_s", "peak_mb", "size_mb"}
RATIOS = {"load_s", "first_answer_s", "p50_ms", "docs_per_s_1", "docs_per_s_4", "peak_mb", "size_mb"}


def twice(artifact: Path, source: Path) -> tuple[Peer, Peer]:
    """The artifact, as both sides of the comparison: it starts in a moment."""
    _, ours = choose([(BASE, 0), ("warm", 0)], Places(artifact, source), Limits())
    return replace(ours, name=latency.UNCOMPILED, warm=False), replace(ours, name=latency.COMPILED, warm=False)


def dummies() -> tuple[Peer, Peer]:
    return Peer("a", {"threads": 0}), Peer("b", {"threads": 0})


@pytest.mark.heavy  # the uncompiled model is started four times
def test_profile_has_the_figures_of_both_and_their_ratios(
    table_artifact: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "PATIENCE", float("inf"))  # or a busy machine would leave some out
    found = latency.profile(table_artifact, tiny_source, TEXTS, ROUNDS)
    assert set(found) == {"documents", "rounds", "stable", "compiled", "uncompiled", "ratios", "samples_ms"}
    assert (found["documents"], found["rounds"]) == (20, 2)
    assert isinstance(found["stable"], bool)
    for name in (latency.COMPILED, latency.UNCOMPILED):
        figures = found[name]
        assert set(figures) == FIGURES
        assert set(figures["docs_per_s"]) == {"1", "4"}
        assert all(value > 0 for value in (*figures["docs_per_s"].values(), figures["size_mb"], figures["peak_mb"]))
        assert 0 < figures["load_s"] <= figures["first_answer_s"]
        assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] == max(found["samples_ms"][name])
        assert len(found["samples_ms"][name]) == 20
    assert set(found["ratios"]) == RATIOS
    for figure in found["ratios"].values():
        assert set(figure) == {"ratio", "low", "high", "distinguishable"}
        assert figure["low"] <= figure["ratio"] <= figure["high"]
        assert figure["distinguishable"] is not (figure["low"] <= 1 <= figure["high"])
    # The uncompiled one imports torch and transformers, which is seconds and hundreds of megabytes.
    assert found["uncompiled"]["peak_mb"] > found["compiled"]["peak_mb"]
    assert found["ratios"]["peak_mb"]["ratio"] > 1


def test_no_document_is_measured_that_the_process_remembers(
    table_artifact: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Process.ask
    asked: dict[int, list[dict[str, Any]]] = {}

    def listen(self: Process, request: dict[str, Any]) -> Any:
        asked.setdefault(self.pid, []).append(request)
        return ask(self, request)

    monkeypatch.setattr(Process, "ask", listen)
    latency.measure(twice(table_artifact, tiny_source), TEXTS, ROUNDS, "measuring")
    assert len(asked) == 2 * ROUNDS
    for requests in asked.values():
        met: set[str] = set()
        for request in requests:
            if request["op"] == "fresh":
                met = set()
            elif request["op"] == "extract":
                assert not met & set(request["texts"])
                met |= set(request["texts"])


def test_forgetting_empties_the_running_cache(table_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load: Callable[..., Any] = modelkiln.load

    def keep(*arguments: Any, **options: Any) -> Any:
        loaded.append(load(*arguments, **options))
        return loaded[-1]

    monkeypatch.setattr(modelkiln, "load", keep)
    config = {"artifact": str(table_artifact), "table": True, "cache_mb": 1, "threads": 0}
    extract, forget = peer_module.load_modelkiln(config)
    extract("Xylophone quartets rehearse beside the harbour.", (1, 2))
    assert len(loaded[0].word.cache) > 0
    capacity = loaded[0].word.cache.capacity
    forget()
    assert len(loaded[0].word.cache) == 0
    assert loaded[0].word.cache.capacity == capacity


def test_turns_alternate_and_the_other_one_is_first_in_the_next_round() -> None:
    for number, order in enumerate(["ab", "ba"]):
        own = latency.schedule(dummies(), TEXTS, number, ROUNDS)
        assert "".join(step.peer.name for step in own) == order * (len(own) // 2)
        for first, second in zip(own[::2], own[1::2], strict=True):
            assert (first.turn is None) == (second.turn is None)
            if first.turn and second.turn:
                assert first.turn.texts == second.turn.texts
                assert (first.turn.scenario, first.turn.block) == (second.turn.scenario, second.turn.block)
                assert first.turn.round == number


@pytest.mark.parametrize("number", [1, 2, 5, 9, 10, 11, 19, 20, 30, 500])
def test_rounds_measure_documents_from_all_over_the_file(number: int) -> None:
    texts = [str(index) for index in range(number)]
    rounds = [latency.choose_texts(texts, index, ROUNDS) for index in range(ROUNDS)]
    for chosen in rounds:
        assert len(set(chosen)) == len(chosen) == min(number, latency.DOCUMENTS)
    if number >= ROUNDS * latency.DOCUMENTS:
        assert len(set().union(*rounds)) == ROUNDS * latency.DOCUMENTS
        assert max(int(text) for text in rounds[-1]) > 0.9 * number - 1
    # The two halves of a round, which are its blocks, are alike in a file that is sorted.
    if number >= latency.DOCUMENTS:
        first, second = (rounds[0][: len(rounds[0]) // 2], rounds[0][len(rounds[0]) // 2 :])
        assert abs(sum(map(int, first)) - sum(map(int, second))) <= number / 2


def test_one_document_is_measured_once_a_round(table_artifact: Path, tiny_source: Path) -> None:
    found = latency.measure(twice(table_artifact, tiny_source), TEXTS[:1], ROUNDS, "measuring")
    assert found["documents"] == 1
    for name in (latency.COMPILED, latency.UNCOMPILED):
        samples = found["samples_ms"][name]
        assert len(samples) == ROUNDS
        assert found[name]["p95_ms"] == found[name]["p99_ms"] == max(samples)
        assert set(found[name]["docs_per_s"]) == {"1"}
    assert set(found["ratios"]) == RATIOS - {"docs_per_s_4"}


def test_round_that_takes_too_long_leaves_its_last_turns_out_in_pairs(
    table_artifact: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(latency, "PATIENCE", 0.0)
    found = latency.measure(twice(table_artifact, tiny_source), TEXTS, ROUNDS, "measuring")
    assert found["documents"] == latency.DOCUMENTS  # half of them in each round
    assert set(found["ratios"]) == RATIOS - {"docs_per_s_4"}
    assert len(found["samples_ms"]["compiled"]) == len(found["samples_ms"]["uncompiled"]) == latency.DOCUMENTS
    assert capsys.readouterr().err.count("the rest of it is left out") == ROUNDS


def test_one_block_has_times_and_no_ratio(
    table_artifact: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "PATIENCE", 0.0)
    found = latency.measure(twice(table_artifact, tiny_source), TEXTS, 1, "measuring")
    assert set(found["ratios"]) == {"size_mb"}
    assert latency.summary(found) == {name: found["compiled"][name] for name in ("p50_ms", "size_mb")}
    assert found["compiled"]["p50_ms"] > 0


def test_same_files_are_the_same_size(table_artifact: Path, tiny_source: Path) -> None:
    found = latency.measure(twice(table_artifact, tiny_source), TEXTS[:1], ROUNDS, "measuring")
    assert found["ratios"]["size_mb"] == {"ratio": 1.0, "low": 1.0, "high": 1.0, "distinguishable": False}
    total = sum(path.stat().st_size for path in table_artifact.rglob("*") if path.is_file())
    assert found["compiled"]["size_mb"] == pytest.approx(total / 1e6, rel=1e-3)


@pytest.mark.usefixtures("warm_start")
def test_reference_that_fails_to_load_is_an_error_of_one_line(
    table_artifact: Path, tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(tiny_source, tmp_path / "source"))
    (broken / "model.safetensors").write_bytes(b"no weights")
    found = latency.profile(table_artifact, broken, TEXTS[:2], ROUNDS)
    assert set(found) == {"error"}
    assert found["error"].startswith("uncompiled model: ")
    assert "\n" not in found["error"]
    assert found["error"] in capsys.readouterr().err
    assert latency.summary(found) == {}


def test_reference_that_is_none_is_an_error_that_names_its_folder(table_artifact: Path, tmp_path: Path) -> None:
    found = latency.profile(table_artifact, tmp_path, TEXTS[:2], ROUNDS)
    assert set(found) == {"error"}
    assert str(tmp_path) in found["error"]


def test_artifact_that_fails_to_load_is_named(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(table_artifact, tmp_path / "artifact"))
    (broken / "tokenizer.json").write_bytes(b"{}")
    ours = twice(broken, tiny_source)[1]
    with pytest.raises(PeerError, match=r"^compiled model: .*tokenizer\.json"):
        latency.measure((ours, ours), TEXTS[:2], ROUNDS, "measuring")


def test_summary_says_how_many_times_faster_only_where_it_can_be_told() -> None:
    figures = {"p50_ms": 5, "size_mb": 126.1, "peak_mb": 260.0, "load_s": 0.7}
    told = {"ratio": 3.1, "low": 2.9, "high": 3.3, "distinguishable": True}
    found: dict[str, Any] = {"compiled": figures, "ratios": {"p50_ms": told}, "stable": True}
    base = {"p50_ms": 5.0, "size_mb": 126.1}
    assert latency.summary(found) == {**base, "times_faster": 3.1}
    assert latency.summary({**found, "stable": False}) == base
    found["ratios"]["p50_ms"] = {"ratio": 1.1, "low": 0.9, "high": 1.3, "distinguishable": False}
    assert latency.summary(found) == base
    assert latency.summary({}) == {}


def test_artifact_is_measured_as_serving_has_it(
    table_artifact: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options of load() by default, and the libraries' own choice of threads."""
    defaults = {name: each.default for name, each in inspect.signature(modelkiln.load).parameters.items()}
    _, ours = twice(table_artifact, tiny_source)
    assert peers_module.CACHE_MB == defaults["cache_mb"] == ours.config["cache_mb"]
    assert (ours.config["table"], ours.config["threads"]) == (True, 0)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    assert not set(THREADS) & set(environment(sys.executable, ours.threads))
    assert environment(sys.executable, 2)["OMP_NUM_THREADS"] == "2"
    assert set(environment(sys.executable, 0)) >= {"HF_HUB_OFFLINE", *set(os.environ) - {"PYTHONPATH"}}
