"""A request -> a report: which peers, on which texts, in which scenarios; then the measuring and the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelkiln.bench import machine
from modelkiln.bench.figures import Figure, figures
from modelkiln.bench.measure import Plan, Results, Scenario, measure
from modelkiln.bench.peers import BASE, NAMES, Places, choose
from modelkiln.errors import ModelkilnError
from modelkiln.golden import read_samples


@dataclass(frozen=True)
class Request:
    """What to measure."""

    peers: tuple[str, ...]  # short names
    ngrams: tuple[tuple[int, int], ...] = ((1, 1),)
    in_a_call: tuple[int, ...] = (1, 12)  # documents
    threads: tuple[int, ...] = (1,)
    documents: Path | None = None  # None: the golden samples
    limit: int = 48  # documents that are measured: the last ones
    rounds: int = 3
    starts: int = 3
    slow_documents: int | None = None  # a limit for the slow peers


@dataclass(frozen=True)
class Report:
    """What was measured."""

    results: Results
    figures: list[Figure]
    texts: int  # in the file
    max_length: int  # tokens, where the peers cut

    def as_json(self) -> dict[str, Any]:
        """The figures, and the seconds behind them; no text and no keyword."""
        return {
            "machine": machine.facts(),
            "documents": self.texts,
            "max_length": self.max_length,
            "figures": [asdict(figure) for figure in self.figures],
            "starts": [
                {"peer": peer, "threads": threads, **start} for (peer, threads), start in self.results.starts.items()
            ],
            "failed": self.results.failed,
            "records": [asdict(record) for record in self.results.records],
        }


def run(request: Request, places: Places) -> Report:
    """Measures what is asked for, one number of threads after the other.

    Raises:
        ModelkilnError: the request can't be met, or none of the peers could be measured.
    """
    texts = tuple(sample.text for sample in read_samples(request.documents))
    results = Results()
    max_length = 0
    scenarios = tuple(Scenario(ngrams, count) for ngrams in request.ngrams for count in request.in_a_call)
    for threads in request.threads:
        peers = tuple(choose(request.peers, places, threads, request.slow_documents))
        max_length = peers[0].config["max_length"]
        plan = Plan(peers, scenarios, texts, min(request.limit, len(texts)), request.rounds, request.starts)
        results.add(measure(plan))
    if not results.records:
        reasons = "; ".join(f"{peer}: {reason}" for peer, reason in results.failed.items())
        raise ModelkilnError(f"bench: none of the peers could be measured: {reasons}")
    return Report(results, figures(results, NAMES[BASE]), len(texts), max_length)
