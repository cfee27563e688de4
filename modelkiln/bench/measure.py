"""Peers, texts -> what each took: in turns, block after block of documents, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from modelkiln.bench.process import Peer, PeerError, Process
from modelkiln.parity import Keywords
from modelkiln.progress import say, track

BLOCK = 12  # documents that one peer does before it is the next one's turn
PAUSE = 0.05  # seconds before a request: threads of the peer before spin for a while
MAX_BEFORE = 200  # documents that a warm peer is given before those that are measured


@dataclass(frozen=True)
class Scenario:
    """What is asked for."""

    ngrams: tuple[int, int]
    in_a_call: int  # documents


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    peers: tuple[Peer, ...]  # the first is the one that the others are compared with
    scenarios: tuple[Scenario, ...]
    texts: tuple[str, ...]
    documents: int  # how many of the texts to measure, the last ones (or one call's); the others may warm a peer up
    rounds: int
    starts: int = 3  # of each process, for the time to the first keyword


@dataclass(frozen=True)
class Record:
    """One block of documents, done by one peer in one round."""

    peer: str
    threads: int
    ngrams: tuple[int, int]
    in_a_call: int
    round: int
    block: int
    documents: int
    seconds: list[float]  # of each call
    peak_mb: float  # in this scenario, so far
    before: int  # documents that a warm peer had met; -1: a cold one

    @property
    def scenario(self) -> Scenario:
        """What was asked for."""
        return Scenario(self.ngrams, self.in_a_call)


@dataclass
class Results:
    """All that was measured."""

    records: list[Record] = field(default_factory=list)
    # (peer, threads) -> load_s and first_s of each start, first_peak_mb, versions, files_mb
    starts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    answers: dict[tuple[str, int, Scenario], dict[int, list[Keywords]]] = field(default_factory=dict)  # by block
    failed: dict[str, str] = field(default_factory=dict)  # peer -> why


def measure(plan: Plan) -> Results:
    """Runs the plan. A peer that fails is named and left out from there on; the others go on."""
    results = Results()
    running: dict[Peer, Process] = {}

    def attempt(peer: Peer, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except PeerError as error:
            results.failed[f"{peer.name}, threads {peer.threads}"] = str(error)
            say(f"bench: {peer.name}: {error}; going on without it")
            if peer in running:
                running.pop(peer).end()

    try:
        starts = [peer for _ in range(plan.starts) for peer in plan.peers]
        for number, peer in enumerate(track(starts, "starting the peers", len(starts))):
            if number < len(plan.peers) or peer in running:
                attempt(peer, start, peer, plan.texts[0], running, results)
        for scenario in plan.scenarios:
            planned = list(turns(plan, scenario, running))
            for turn in track(planned, _name(scenario), len(planned)):
                if turn.peer in running:
                    attempt(turn.peer, _take, turn, running[turn.peer], results)
    finally:
        for process in running.values():
            process.end()
    return results


@dataclass(frozen=True)
class Turn:
    """One block of documents, to be done by one peer."""

    peer: Peer
    scenario: Scenario
    round: int
    block: int
    texts: Sequence[str]
    before: Sequence[str] | None  # to be met first, in a fresh state
    met: int


def turns(plan: Plan, scenario: Scenario, peers: Iterable[Peer]) -> Iterator[Turn]:
    """Who does which documents, one after the other: each block is done by all peers before the next one is begun."""
    peers = list(peers)
    count = min(len(plan.texts), max(plan.documents, scenario.in_a_call))
    measured = plan.texts[-count:]
    earlier = plan.texts[:-count][-MAX_BEFORE:]
    blocks = split(measured, scenario.in_a_call)
    half = len(blocks) // 2
    warm_up = [*earlier, *(text for block in blocks[:half] for text in block)]
    for number in range(plan.rounds):
        for index, block in enumerate(blocks):
            for peer in [peer for peer in peers if peer.rounds is None or number < peer.rounds]:
                done = sum(map(len, blocks[:index]))
                if peer.warm and (index < half or half == 0 or scenario.in_a_call > 1):
                    continue
                if peer.documents is not None and done + len(block) > peer.documents:
                    continue
                before = warm_up if peer.warm and index == half else None
                met = len(warm_up) + done - sum(map(len, blocks[:half])) if peer.warm else -1
                yield Turn(peer, scenario, number, index, block, before, met)


def split(texts: Sequence[str], in_a_call: int) -> list[Sequence[str]]:
    """Blocks of documents: of one call each, or of up to BLOCK calls with one document, and two blocks at least.

    Where they don't fill the last call up, the documents that are left over are not measured.
    """
    if in_a_call > 1:
        size = min(in_a_call, len(texts))
        return [texts[start : start + size] for start in range(0, len(texts) - size + 1, size)]
    number = max(min(2, len(texts)), -(-len(texts) // BLOCK))
    return [texts[i * len(texts) // number : (i + 1) * len(texts) // number] for i in range(number)]


def start(peer: Peer, text: str, running: dict[Peer, Process], results: Results) -> None:
    """Starts a peer, again where it runs, has it answer `text`, and notes how long that took."""
    if peer in running:
        running.pop(peer).end()
    process = running[peer] = Process(peer, text)
    entry = results.starts.setdefault(
        (peer.name, peer.threads),
        {
            "load_s": [],
            "first_s": [],
            "versions": process.versions,
            "files_mb": sum(_size(path) for path in peer.files) / 1e6,
        },
    )
    entry["load_s"].append(process.load_s)
    entry["first_s"].append(process.first_s)
    entry["first_peak_mb"] = process.first_peak_mb


def take(turn: Turn, process: Process) -> tuple[Record, list[Keywords]]:
    """What a turn took, and what it gave."""
    scenario, peer = turn.scenario, turn.peer
    time.sleep(PAUSE)
    reply = process.extract(turn.texts, scenario.ngrams, together=scenario.in_a_call > 1)
    record = Record(
        peer=peer.name,
        threads=peer.threads,
        **asdict(scenario),
        round=turn.round,
        block=turn.block,
        documents=len(turn.texts),
        seconds=reply["seconds"],
        peak_mb=process.peak_mb(),
        before=turn.met,
    )
    return record, reply["keywords"]


def _take(turn: Turn, process: Process, results: Results) -> None:
    scenario, peer = turn.scenario, turn.peer
    if turn.before is not None:
        process.ask({"op": "fresh"})
        process.extract(turn.before, scenario.ngrams)
    key = (peer.name, peer.threads, scenario)
    if key not in results.answers:  # its first turn here: let the libraries allocate what they need
        process.ask({"op": "reset_peak"})
        if not peer.warm:
            process.extract(turn.texts[:1], scenario.ngrams)
    record, keywords = take(turn, process)
    results.answers.setdefault(key, {}).setdefault(turn.block, keywords)
    results.records.append(record)


def _size(path: Any) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _name(scenario: Scenario) -> str:
    least, most = scenario.ngrams
    return f"n-grams ({least},{most}), {scenario.in_a_call} in a call, turns"
