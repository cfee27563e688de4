"""Who does which documents, and what a process says when it can't go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln.bench.measure import BLOCK, Plan, Scenario, measure, split, turns
from modelkiln.bench.peers import Limits, Places, choose
from modelkiln.bench.process import Peer, PeerError, Process

ALONE = Scenario((1, 1), 1)
TEXTS = tuple(f"text number {number}" for number in range(60))


def peer(name: str, **settings: Any) -> Peer:
    return Peer(name, {"threads": 1}, **settings)


def plan(peers: Sequence[Peer], texts: Sequence[str] = TEXTS, documents: int = 24, rounds: int = 2) -> Plan:
    return Plan(tuple(peers), (ALONE,), tuple(texts), documents, rounds)


@given(st.integers(1, 100), st.integers(1, 30))
def test_blocks_hold_documents_in_order_and_lose_none_but_an_unfilled_call(number: int, in_a_call: int) -> None:
    texts = [str(index) for index in range(number)]
    blocks = split(texts, in_a_call)
    together = [text for block in blocks for text in block]
    assert together == texts[: len(together)]
    if in_a_call == 1:
        assert together == texts
        assert len(blocks) >= min(2, number)
        assert all(0 < len(block) <= BLOCK for block in blocks)
    else:
        assert {len(block) for block in blocks} == {min(in_a_call, number)}
        assert number - len(together) < in_a_call


def test_peers_take_turns_at_each_block() -> None:
    a, b = peer("a"), peer("b")
    planned = list(turns(plan([a, b]), ALONE, [a, b]))
    assert [(turn.round, turn.block, turn.peer.name) for turn in planned] == [
        (number, block, name) for number in range(2) for block in range(2) for name in ("a", "b")
    ]
    assert planned[0].texts == planned[1].texts == TEXTS[36:48]


def test_slow_peer_does_its_share_only() -> None:
    slow = peer("slow", documents=12, rounds=1)
    assert [(turn.round, turn.block) for turn in turns(plan([slow]), ALONE, [slow])] == [(0, 0)]
    together = Scenario((1, 1), 24)
    assert not list(turns(plan([slow]), together, [slow]))


def test_warm_peer_is_measured_on_the_second_half_after_all_that_comes_before() -> None:
    warm = peer("warm", warm=True)
    planned = list(turns(plan([warm]), ALONE, [warm]))
    assert [(turn.round, turn.block, turn.met) for turn in planned] == [(0, 1, 48), (1, 1, 48)]
    for turn in planned:  # each round anew: in the last one it met the documents themselves
        assert turn.before == list(TEXTS[:48])
        assert turn.texts == TEXTS[48:]


def test_library_that_is_missing_is_named_and_the_others_go_on(
    table_artifact: Path, tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    wanted = [("keybert", 1), ("modelkiln", 1)]
    base, ours = choose(wanted, Places(table_artifact, tiny_source), Limits())
    bare = Peer("bare", base.config, python=str(tmp_path / "bare" / "bin" / "python"))
    absent = Peer("absent", base.config, python=str(tmp_path / "nowhere"))
    results = measure(Plan((bare, absent, ours), (ALONE,), TEXTS[:2], 2, 1, starts=1))
    assert {record.peer for record in results.records} == {"modelkiln"}
    assert "No module named 'keybert'" in results.failed["bare, threads 1"]
    assert "nowhere: No such file" in results.failed["absent, threads 1"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: bare: ")]
    assert len(said) == 1
    assert said[0].endswith("going on without it")


def test_process_that_was_killed_is_an_error_of_one_line(table_artifact: Path, tiny_source: Path) -> None:
    _, ours = choose([("keybert", 1), ("modelkiln", 1)], Places(table_artifact, tiny_source), Limits())
    process = Process(ours, TEXTS[0])
    try:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(PeerError, match=r"it said nothing \(exit code -9\)"):
            process.extract(TEXTS[:1], (1, 1))
    finally:
        process.end()


def test_what_a_library_prints_does_not_come_between_the_replies(
    table_artifact: Path, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A library that prints when it is imported, as some do: numpy's place is taken by a module that brings numpy in.
    (tmp_path / "tokenizers.py").write_text(
        "import os, sys; print('a word from a library'); os.write(1, b'and another\\n')\n"
        "del sys.modules['tokenizers']; sys.path.remove(os.path.dirname(__file__)); import tokenizers\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, ours = choose([("keybert", 1), ("modelkiln", 1)], Places(table_artifact, tiny_source), Limits())
    process = Process(ours, "The tram line opens on Friday.")
    try:
        assert process.extract(["The tram line opens."], (1, 1))["keywords"][0]
        assert process.peak_mb() > 10
    finally:
        process.end()
