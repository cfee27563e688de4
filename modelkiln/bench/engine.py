"""A request -> a report: which peers, on which texts, in which scenarios; then the measuring and the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from modelkiln.bench import machine
from modelkiln.bench.figures import Figure, figures
from modelkiln.bench.measure import Plan, Results, Scenario, measure
from modelkiln.bench.peers import BASE, NAMES, Limits, Places, choose
from modelkiln.errors import ModelkilnError
from modelkiln.golden import read_samples


@dataclass(frozen=True)
class Request:
    """What to measure."""

    peers: tuple[tuple[str, int], ...]  # short names, and the threads of each
    scenarios: tuple[Scenario, ...] = (Scenario((1, 1), 1), Scenario((1, 1), 12))
    documents: Path | None = None  # None: the golden samples
    limit: int = 48  # documents that are measured, the last ones; or as many as there are in a call
    rounds: int = 3
    starts: int = 3
    slow: Limits = field(default_factory=Limits)  # for the slow peers


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
    """Measures what is asked for, all peers in turns.

    Raises:
        ModelkilnError: the request can't be met, or none of the peers could be measured.
    """
    texts = tuple(sample.text for sample in read_samples(request.documents))
    peers = tuple(choose(request.peers, places, request.slow))
    # Where there are fewer documents than are asked for in a call, the figure has to say how many there really were.
    scenarios = dict.fromkeys(replace(each, in_a_call=min(each.in_a_call, len(texts))) for each in request.scenarios)
    results = measure(Plan(peers, tuple(scenarios), texts, request.limit, request.rounds, request.starts))
    if not results.records:
        reasons = "; ".join(f"{peer}: {reason}" for peer, reason in results.failed.items())
        raise ModelkilnError(f"bench: none of the peers could be measured: {reasons}")
    return Report(results, figures(results, NAMES[BASE]), len(texts), peers[0].config["max_length"])
