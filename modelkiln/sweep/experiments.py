"""What became of the cells: DVC's experiments on a commit, and the attempts of an engine -> results."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import step, track
from modelkiln.sweep import attempts, shell
from modelkiln.sweep.attempts import Attempt
from modelkiln.sweep.cells import GROUPS, JOINT, Cell
from modelkiln.sweep.reasons import UNKNOWN, reason_of
from modelkiln.verdict import VERDICT, read_verdict

PASSED, REFUSED, FAILED, RUNNING, QUEUED = "passed", "refused", "failed", "running", "queued"
RANK = (PASSED, REFUSED, RUNNING, QUEUED, FAILED)  # of two experiments with one name the first of these counts
REPORTS = "reports/validation"
ARTIFACT = "artifacts/compiled"
METRICS = f"{REPORTS}/metrics.json"
# metrics.json's name -> a figure of a result; and there is `size`, the megabytes of the artifact's files.
FIGURES = {
    "times_faster": "speedup",
    "p50_ms": "p50",
    "f1": "f1",
    "f1_loss": "f1_loss",
    "agreement": "agreement",
    "cosine": "cosine",
}


@dataclass(frozen=True)
class Result:
    """What is known of one cell."""

    name: str  # of the experiment
    state: str  # passed, refused (by the gate), failed, running, queued
    revision: str = ""  # of the experiment's commit, where there is one
    choices: dict[str, str] = field(default_factory=dict)  # model, variant, backend, precision, as params.yaml has them
    figures: dict[str, float] = field(default_factory=dict)  # see FIGURES; what was not measured is left out
    reason: str = ""  # why it was refused or has failed, on one line
    rerun: str = ""  # the command that makes the experiment here, where that is known

    @property
    def command(self) -> str:
        """What to do with it: adopt it, look at it, or find out more."""
        if self.state in (PASSED, REFUSED):
            return shlex.join(
                [*(("modelkiln", "adopt") if self.state == PASSED else ("dvc", "exp", "apply")), self.name]
            )
        return self.rerun or shlex.join(["dvc", "queue", "logs", self.name])


def read(commit: str = "HEAD", table: Path = attempts.TABLE) -> list[Result]:
    """The results of the experiments on a commit, by name.

    Args:
        commit: What the experiments were run on.
        table: Where an engine that has one writes its attempts down; it may be missing.

    Raises:
        ModelkilnError: this is no DVC project, or the commit is unknown.
    """
    revision = shell.commit(commit)
    with step("reading the experiments"):
        shown = json.loads(shell.dvc("exp", "show", "--json", "--rev", revision))
    tried = [attempt for attempt in attempts.read(table) if attempt.commit == revision]
    results = merged([*of_experiments(shown), *of_attempts(tried)])
    refused = sum(result.state == REFUSED for result in results)
    told = track((result for result in results if result.state == REFUSED), "why cells were refused", refused)
    reasons = {result.name: _refusal(result.revision) for result in told}
    return [replace(result, reason=reasons.get(result.name, result.reason)) for result in results]


def of_experiments(shown: Iterable[Mapping[str, Any]]) -> Iterator[Result]:
    """The results in what `dvc exp show --json` says; those of the cells that were refused still lack their reason."""
    for baseline in shown:
        for experiment in baseline.get("experiments") or []:
            last = experiment["revs"][0]
            executor = experiment.get("executor") or {}
            name = experiment.get("name") or last.get("name") or last["rev"][:7]
            common = {"name": name, "choices": _choices(last), "rerun": _rerun(name)}
            state = executor.get("state") or "success"
            if state in (RUNNING, QUEUED):
                yield Result(state=state, **common)
            elif state == FAILED:
                # Its metrics are the baseline's, and its workspace is gone; its log is not.
                yield Result(state=FAILED, reason=_logged((executor.get("local") or {}).get("log")), **common)
            else:
                yield _finished(last, common)


def of_attempts(tried: Iterable[Attempt]) -> Iterator[Result]:
    """What has failed, or was lost, at the latest attempt."""
    for name, (attempt, number) in attempts.last(tried).items():
        if attempt.outcome != attempts.DONE:
            times = f" (attempt {number})" if number > 1 else ""
            choices = dict(zip(GROUPS, name.split(JOINT), strict=False))
            rerun = shlex.join(["dvc", "exp", "run", *attempt.arguments])
            yield Result(name, FAILED, choices=choices, reason=f"{attempt.reason}{times}", rerun=rerun)


def merged(results: Iterable[Result]) -> list[Result]:
    """One result of each name, by name: what has passed counts more than what has failed before."""
    found: dict[str, Result] = {}
    for result in results:
        known = found.get(result.name)
        if known is None or RANK.index(result.state) <= RANK.index(known.state):
            found[result.name] = result
    return [found[name] for name in sorted(found)]


def _finished(last: Mapping[str, Any], common: dict[str, Any]) -> Result:
    metrics, error = _data(last, "metrics", METRICS)
    if "passed" not in metrics:
        reason = f"its figures are not here ({error}): `dvc exp pull` brings them" if error else "it was not validated"
        return Result(state=FAILED, reason=reason, **common)
    figures = {ours: float(metrics[theirs]) for theirs, ours in FIGURES.items() if theirs in metrics}
    size = (((last["data"].get("outs") or {}).get(ARTIFACT)) or {}).get("size")
    if size is not None:  # also where the speed was not measured
        figures["size"] = size / 1e6
    return Result(state=PASSED if metrics["passed"] == 1 else REFUSED, revision=last["rev"], figures=figures, **common)


def _choices(last: Mapping[str, Any]) -> dict[str, str]:
    params, _ = _data(last, "params", "params.yaml")
    sections = {"model": "download", "variant": "download", "backend": "compile", "precision": "compile"}
    return {name: str((params.get(section) or {}).get(name, "")) for name, section in sections.items()}


def _data(last: Mapping[str, Any], kind: str, file: str) -> tuple[Mapping[str, Any], str]:
    """What DVC says of a file, and why it says nothing where it does not."""
    found = ((last.get("data") or {}).get(kind) or {}).get(file) or {}
    error = found.get("error") or last.get("error") or {}
    return found.get("data") or {}, one_line(error.get("msg") or error.get("type") or "") if error else ""


def _rerun(name: str) -> str:
    """What a name says of how the experiment is made again; with a digest of further overrides it does not say all."""
    parts = name.split(JOINT)
    return Cell(parts[0], parts[1], parts[2]).command if len(parts) == len(GROUPS) else ""


def _logged(log: str | None) -> str:
    try:
        return reason_of(Path(log).read_text(encoding="utf-8", errors="replace")) if log else UNKNOWN
    except OSError:
        return f"{UNKNOWN}: its log is gone"


def _refusal(revision: str) -> str:
    """Why the gate refused an experiment."""
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        text = dvc.api.read(f"{REPORTS}/{VERDICT}", rev=revision, encoding="utf-8")
        with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
            (Path(scratch) / VERDICT).write_text(text, encoding="utf-8")
            return read_verdict(Path(scratch) / VERDICT).reason()
    except (DvcException, ModelkilnError, OSError) as error:
        return f"its verdict can't be read: {one_line(error)}"
