"""How fast an artifact answers on this machine, beside KeyBERT over its uncompiled model, measured in turns.

Both are processes of their own, with the options that serving has by default: threads, running cache and compiled
vocabulary included. They are started once a round, the other one first each time, and asked in turns (A B A B, then
B A B A), so that a machine that slows down slows both down and which one comes first cancels out.

What is warm when it is measured: the process, its libraries, the pages of the files. Each has answered the same few
documents until two times in a row took the same (paired.warm_up); `stable` is false where that did not happen. What is
not: the running cache of phrases. It is emptied before the documents are measured, so that no answer comes from having
met the document before; what the documents of a round share is remembered from one to the next, as when serving.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelkiln import interpreter
from modelkiln.bench import paired
from modelkiln.bench.measure import Plan, Record, Results, Scenario, Turn, start, take, turns
from modelkiln.bench.peers import BASE, Limits, Places, choose
from modelkiln.bench.process import Peer, PeerError, Process
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import say, track

UNCOMPILED, COMPILED = "uncompiled", "compiled"
DOCUMENTS = 10  # in a round, at the most
SIZES = (1, 4)  # documents in a call
WARM_UP = 3  # documents in a block of the warm-up
PATIENCE = 20.0  # seconds for a round's turns; those that it has not begun by then are left out, the first ones apart
NGRAMS = (1, 1)  # extract_keywords' default


def profile(
    artifact: Path, source: Path, texts: Sequence[str], rounds: int, python: str | None = None
) -> dict[str, Any]:
    """The figures of both, their ratios and the times behind them; or an `error` of one line.

    Speed is no part of the verdict, so what can't be measured is said, and raises nothing.

    Args:
        artifact: Verified.
        source: The uncompiled model.
        texts: Documents; a sample of them, spread over all, is measured.
        rounds: One at the least. Each starts both once more, and the uncompiled model takes seconds to start.
        python: The interpreter that both run under; see interpreter.chosen.

    Returns:
        Seconds from starting the process until it is loaded (load_s) and until its first answer (first_answer_s);
        milliseconds of a document alone in a call (p50_ms, p95_ms, p99_ms; see paired.percentile for few samples);
        documents a second for each number of documents in a call; the process's largest resident memory, and the size
        of its files, both in 10^6 bytes. Ratios say how many times better the compiled one is; see paired.ratio.
    """
    try:
        base, ours = choose([(BASE, 0), ("warm", 0)], Places(artifact, source), Limits())
        with interpreter.chosen(python, "validate.python") as run:
            base = replace(base, name=UNCOMPILED, python=run.executable, root=run.root)
            # Not the benchmark's warm peer, which is measured on the second half of the documents.
            ours = replace(ours, name=COMPILED, warm=False, python=run.executable, root=run.root)
            return measure((base, ours), texts, rounds, f"measuring {artifact}")
    except (ModelkilnError, PeerError) as error:
        say(f"the speed could not be measured: {one_line(error)}")
        return {"error": one_line(error)}


def summary(latency: dict[str, Any]) -> dict[str, float]:
    """What metrics.json says of a profile: nothing where there is none, `times_faster` only where it can be told.

    Where the processes did not get steady it can't: on busy cores the ratio is that of how each bears being disturbed.
    """
    if COMPILED not in latency:
        return {}
    figures = {name: float(latency[COMPILED][name]) for name in ("p50_ms", "size_mb")}
    faster = latency["ratios"].get("p50_ms")  # of one block there is no ratio: PATIENCE had run out by then
    told = faster and faster["distinguishable"] and latency["stable"]
    return {**figures, "times_faster": float(faster["ratio"])} if told else figures


@dataclass(frozen=True)
class Step:
    """One thing that one of the two does."""

    peer: Peer
    texts: tuple[str, ...]  # of the round
    turn: Turn | None  # None: it is started, and warmed up


def schedule(peers: tuple[Peer, Peer], texts: Sequence[str], number: int, rounds: int) -> list[Step]:
    """Who does what in a round, one after the other."""
    order = peers if number % 2 == 0 else peers[::-1]
    chosen = choose_texts(texts, number, rounds)
    steps = [Step(peer, chosen, None) for peer in order]
    for size in dict.fromkeys(min(size, len(chosen)) for size in SIZES):
        scenario = Scenario(NGRAMS, size)
        plan = Plan(order, (scenario,), chosen, documents=len(chosen), rounds=1)
        for turn in turns(plan, scenario, order):
            fresh = replace(turn, round=number, before=() if turn.block == 0 else None)
            steps.append(Step(turn.peer, chosen, fresh))
    return steps


def choose_texts(texts: Sequence[str], number: int, rounds: int) -> tuple[str, ...]:
    """The documents of a round: spread over all of them, other ones in each round where there are enough.

    Neighbours go into different halves, which are the round's blocks: a file may be sorted by length.
    """
    count = min(len(texts), DOCUMENTS)
    spread = [texts[int((index + number / rounds) * len(texts) / count)] for index in range(count)]
    return tuple(spread[0::2] + spread[1::2])


def measure(peers: tuple[Peer, Peer], texts: Sequence[str], rounds: int, what: str) -> dict[str, Any]:
    """The profile of two peers, the uncompiled one first; see profile.

    Raises:
        PeerError: one of them can't go on; says which.
    """
    results = Results()
    stable = True
    measured: set[str] = set()
    for number in range(rounds):
        steps = schedule(peers, texts, number, rounds)
        steady, met = _do_round(steps, results, f"{what}, round {number + 1} of {rounds}")
        stable &= steady
        measured |= met
    return {"documents": len(measured), "rounds": rounds, "stable": stable, **figures(results, peers)}


def _do_round(steps: Sequence[Step], results: Results, what: str) -> tuple[bool, set[str]]:
    """Whether the warm-ups ended well, and the documents that were measured."""
    running: dict[Peer, Process] = {}
    steady = True
    measured: set[str] = set()
    done = 0
    began = 0.0
    try:
        for step in track(steps, what, len(steps)):
            with _named(step.peer):
                if step.turn is None:
                    start(step.peer, step.texts[0], running, results)
                    steady &= paired.warm_up(partial(_warm_up_block, running[step.peer], step.texts[:WARM_UP]))
                    continue
                began = began or time.perf_counter()
                if done and done % 2 == 0 and time.perf_counter() - began > PATIENCE:
                    say(f"{what}: {PATIENCE:.0f} s have passed; the rest of it is left out")
                    break
                if step.turn.before is not None:
                    running[step.peer].ask({"op": "fresh"})
                results.records.append(take(step.turn, running[step.peer])[0])
                measured.update(step.turn.texts)
                done += 1
    finally:
        for process in running.values():
            process.end()
    return steady, measured


def figures(results: Results, peers: tuple[Peer, Peer]) -> dict[str, Any]:
    """What was measured, as latency.json has it."""
    samples = {peer.name: _alone(results.records, peer.name) for peer in peers}
    ratios = {name: paired.ratio(pairs) for name, pairs in _pairs(results, peers).items() if len(pairs) > 1}
    theirs, ours = (results.starts[peer.name, peer.threads]["files_mb"] for peer in peers)
    smaller = theirs / ours  # known exactly
    ratios["size_mb"] = paired.Ratio(smaller, smaller, smaller, smaller != 1)
    return {
        **{peer.name: _figures_of(results, peer, samples[peer.name]) for peer in reversed(peers)},
        "ratios": {name: asdict(_rounded(ratio)) for name, ratio in ratios.items()},
        "samples_ms": {name: [_short(each) for each in samples[name]] for name in (COMPILED, UNCOMPILED)},
    }


def _figures_of(results: Results, peer: Peer, samples: list[float]) -> dict[str, Any]:
    starts = results.starts[peer.name, peer.threads]
    own = [record for record in results.records if record.peer == peer.name]
    rates = {
        str(size): sum(r.documents for r in own if r.in_a_call == size)
        / sum(sum(r.seconds) for r in own if r.in_a_call == size)
        for size in sorted({record.in_a_call for record in own})
    }
    return {
        "load_s": _short(statistics.median(starts["load_s"])),
        "first_answer_s": _short(statistics.median(starts["first_s"])),
        **{f"p{percent}_ms": _short(paired.percentile(samples, percent)) for percent in (50, 95, 99)},
        "docs_per_s": {size: _short(rate) for size, rate in rates.items()},
        "peak_mb": _short(max(record.peak_mb for record in own)),
        "size_mb": _short(starts["files_mb"]),
    }


def _pairs(results: Results, peers: tuple[Peer, Peer]) -> dict[str, list[tuple[float, float]]]:
    """Name -> what the uncompiled and the compiled one took, measured one after the other."""
    theirs, ours = (results.starts[peer.name, peer.threads] for peer in peers)
    pairs: dict[str, list[tuple[float, float]]] = {
        "load_s": list(zip(theirs["load_s"], ours["load_s"], strict=True)),
        "first_answer_s": list(zip(theirs["first_s"], ours["first_s"], strict=True)),
    }
    found: dict[tuple[int, int, int], dict[str, Record]] = {}
    for record in results.records:
        found.setdefault((record.round, record.in_a_call, record.block), {})[record.peer] = record
    peaks: dict[int, tuple[float, float]] = {}
    for (number, size, _), both in found.items():
        first, second = (both[peer.name] for peer in peers)
        if size == 1:
            pairs.setdefault("p50_ms", []).append((statistics.median(first.seconds), statistics.median(second.seconds)))
        pairs.setdefault(f"docs_per_s_{size}", []).append((sum(first.seconds), sum(second.seconds)))
        peaks[number] = (first.peak_mb, second.peak_mb)  # a process's last one is its largest
    return {**pairs, "peak_mb": list(peaks.values())}


def _alone(records: Sequence[Record], peer: str) -> list[float]:
    return [1000 * seconds for r in records if r.peer == peer and r.in_a_call == 1 for seconds in r.seconds]


def _warm_up_block(process: Process, texts: Sequence[str]) -> float:
    """Seconds for the documents, one in a call, met for the first time."""
    process.ask({"op": "fresh"})
    return float(sum(process.extract(texts, NGRAMS)["seconds"]))


@contextmanager
def _named(peer: Peer) -> Iterator[None]:
    try:
        yield
    except PeerError as error:
        raise PeerError(f"{peer.name} model: {error}") from error


def _rounded(found: paired.Ratio) -> paired.Ratio:
    return replace(found, ratio=_short(found.ratio), low=_short(found.low), high=_short(found.high))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
