"""Makes broken artifacts, has the checks judge each, and the good one again and again on a busy machine."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from modelkiln import env
from modelkiln.artifact import read_manifest
from modelkiln.asked import as_if_asked, without_table
from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json
from modelkiln.golden import read_samples
from modelkiln.params import Validate
from modelkiln.progress import say
from modelkiln.proof import runtime
from modelkiln.proof.build import Change, build
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good
from modelkiln.proof.processes import busy_machine, no_orphans
from modelkiln.sources import REVISION
from modelkiln.validation import judge
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict

REFUSED = "refused"
SLIPPED = "slipped through"
BY_CHANCE = "refused by others"  # than the checks that are there for it
ALL, NAMED = "all", "named"  # checks that judge a broken artifact
THREADS = (1, 2)
MOST_SAID = 200  # characters of a reason
PLACE = re.compile(r"(?<![\w.…])(/[^/:\n]+)+/")  # the folders of an absolute path


@dataclass(frozen=True)
class Row:
    """What became of one broken artifact."""

    kind: str
    meaning: str
    outcome: str  # REFUSED, SLIPPED, BY_CHANCE; or verdict.NOT_APPLICABLE
    caught_by: str = ""  # the check
    figure: str = ""  # its name and value
    bound: str = ""
    others: int = 0  # further checks that did not pass
    reason: str = ""  # where no figure says it

    def holds(self) -> bool:
        """Whether the checks did what they are for."""
        return self.outcome in (REFUSED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Proof:
    """What the checks did to broken artifacts, and to good ones."""

    rows: list[Row]
    good_runs: int
    refusals: list[str]  # of good artifacts: which run, and why

    def failures(self) -> list[str]:
        """One line for each thing that the checks did wrong."""
        rows = [f"{row.kind}: {row.outcome} {row.reason}".rstrip() for row in self.rows if not row.holds()]
        return rows + self.refusals


def prove(good: Good, faults: Sequence[Fault], params: Validate, good_runs: int, checks: str = ALL) -> Proof:
    """Judges the good artifact once, then each fault's, then the good one again; says one line about each.

    Args:
        good: What the faults are made of.
        faults: The kinds.
        params: By which texts and bounds all are judged.
        good_runs: How often the good one is judged, beside an artifact that was built as the broken ones are, without
            a fault; 0: neither is.
        checks: ALL, or NAMED: a broken one is judged by the checks that its kind names, up to the first that refuses
            it, which takes a fifth of the time. How many others would have refused it is not known then.

    Raises:
        ModelkilnError: there is nothing to judge, or to judge it by.
    """
    read_json(good.source / REVISION, "the source's revision")
    for path in (params.golden, params.corpus):
        read_samples(Path(path))
    env.keep_libraries_quiet()
    with tempfile.TemporaryDirectory(prefix="modelkiln-proof-") as folder, no_orphans():
        scratch = Path(folder).resolve()
        refusals = _first_runs(good, params, scratch) if good_runs else []
        if refusals:  # what they say of broken ones would mean nothing
            return Proof([], 1, refusals)
        rows = [_try(fault, good, params, scratch, checks, f"{i}/{len(faults)}") for i, fault in enumerate(faults, 1)]
        if good_runs > 1:
            with busy_machine():
                for number in range(1, good_runs):
                    refusals += _run_again(good, params, scratch, number, good_runs)
    return Proof(rows, good_runs, refusals)


def _try(fault: Fault, good: Good, params: Validate, scratch: Path, checks: str, place: str) -> Row:
    started = time.perf_counter()
    with _empty_folder(scratch) as folder:
        try:
            with _quiet(scratch):
                fault.make(good, folder)
        except DoesNotApplyError as reason:
            say(f"{place} {fault.name}: does not apply: {reason}")
            return Row(fault.name, fault.meaning, NOT_APPLICABLE, reason=str(reason))
        bounds = replace(params.bounds, **fault.bounds)
        only = ("-k", _files(fault), *(() if fault.also else ("--exitfirst",))) if checks == NAMED else ()
        verdict = _judge(folder, good, replace(params, bounds=bounds), scratch, *fault.arguments, *only)
    row = _row(fault, verdict, folder)
    by = f" by {row.caught_by}:" if row.caught_by else ""
    why = f" {row.figure}, {row.bound}" if row.figure else f" {row.reason}"
    say(f"{place} {fault.name}: {row.outcome}{by}{why.rstrip()} ({time.perf_counter() - started:.1f} s)")
    return row


def _files(fault: Fault) -> str:
    """The checks that the kind names, whole files of them or some, for pytest's -k."""
    chosen = []
    for area in (*fault.areas, *fault.also):
        file, _, name = area.partition(": ")
        only = f" and test_{name.replace(' ', '_')}" if name else ""
        chosen.append(f"(test_{file}.py{only})")
    return " or ".join(dict.fromkeys(chosen))


def _row(fault: Fault, verdict: Verdict, folder: Path) -> Row:
    failed = verdict.failed()
    if verdict.passed:
        return Row(fault.name, fault.meaning, SLIPPED)
    # An artifact that can't be loaded makes an error of every check, which proves nothing of any but the first.
    outcomes = ("failed",) if fault.loads else ("failed", "error")
    caught = [check for area in fault.areas for check in _of(area, failed) if check.outcome in outcomes]
    blind = [area for area in fault.also if _of(area, verdict.applicable()) and not _of(area, failed)]
    if not caught or blind:
        reason = f"not by {', '.join(blind or fault.areas)}, but by {_said('; '.join(verdict.failures()), folder)}"
        return Row(fault.name, fault.meaning, BY_CHANCE, others=len(failed), reason=reason)
    # Of the area that comes first in `areas`, and one that has a figure to show.
    first = min(_of(_area(caught[0]), caught), key=lambda check: _exceeded(check) is None)
    figure = _exceeded(first)
    return Row(
        kind=fault.name,
        meaning=fault.meaning,
        outcome=REFUSED,
        caught_by=first.name,
        figure=f"{figure[0]} {'not finite' if figure[1].value is None else f'{figure[1].value:g}'}" if figure else "",
        bound=f"{figure[1].side} {figure[1].bound:g}" if figure else "",
        others=len(failed) - 1,
        reason="" if figure else _said(first.reason, folder),
    )


def _of(area: str, checks: Sequence[Check]) -> list[Check]:
    """The checks whose names begin so: all of an area, or one of them."""
    return [check for check in checks if check.name.startswith(area)]


def _area(check: Check) -> str:
    return check.name.partition(":")[0]


def _said(reason: str, folder: Path) -> str:
    """The reason without what differs from run to run, nor what names the kind of error."""
    for noise in ("modelkiln.errors.ModelkilnError: ", f"{folder}/", f"{folder}: ", str(folder)):
        reason = reason.replace(noise, "")
    return PLACE.sub("…/", reason)[:MOST_SAID]


def _exceeded(check: Check) -> tuple[str, Figure] | None:
    return next(((name, figure) for name, figure in check.figures.items() if not figure.holds()), None)


def _first_runs(good: Good, params: Validate, scratch: Path) -> list[str]:
    """Why the good artifact was refused, and one that was built as the broken ones are but without a fault."""
    refusals = _accept(_judge(good.folder, good, params, scratch), "the good artifact")
    with _empty_folder(scratch) as folder:
        try:
            with _quiet(scratch):
                build(good, folder, Change())
        except DoesNotApplyError as reason:
            say(f"the good artifact, built again: {reason}")
            return refusals
        return refusals + _accept(_judge(folder, good, params, scratch), "the good artifact, built again")


def _run_again(good: Good, params: Validate, scratch: Path, number: int, good_runs: int) -> list[str]:
    threads = THREADS[number % len(THREADS)]
    what = f"the good artifact on a busy machine, run {number + 1} of {good_runs}, threads: {threads}"
    with env.thread_count(threads):
        verdict = _judge(good.folder, good, params, scratch, *runtime.arguments(threads=threads))
    return _accept(verdict, what)


def _accept(verdict: Verdict, what: str) -> list[str]:
    refused = [] if verdict.passed else [f"{what} was refused: {'; '.join(verdict.failures())}"]
    say(refused[0] if refused else f"{what}: accepted")
    return refused


def _judge(folder: Path, good: Good, params: Validate, scratch: Path, *extra: str) -> Verdict:
    """The verdict; the uncompiled model's vectors are computed once for all runs."""
    with _empty_folder(scratch) as reports, _quiet(scratch):
        try:
            made = read_manifest(folder)
            asked = as_if_asked(good.folder, good.manifest)
            if not any(spec.vocabulary for spec in made.encoders.values()):  # made without a table, to save time
                asked = without_table(asked)
            return judge(folder, good.source, reports, params, asked, "--remember", str(scratch / "remembered"), *extra)
        except ModelkilnError as error:  # the manifest; all else that it could be about has been read before
            return Verdict(False, "", checks=[Check("artifact: manifest", "error", reason=str(error))])


@contextmanager
def _empty_folder(scratch: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@contextmanager
def _quiet(scratch: Path) -> Iterator[None]:
    """What compilers and pytest say goes into a file: it would be 50 times the same."""
    with (scratch / "log.txt").open("a", encoding="utf-8") as log, redirect_stderr(log), redirect_stdout(log):
        yield


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| kind | what is wrong | outcome | caught by | figure | bound | other checks |", "|---" * 7 + "|"]
    for row in rows:
        figure = row.figure or row.reason.replace("|", "\\|")
        cells = (row.kind, row.meaning, row.outcome, row.caught_by, figure, row.bound, str(row.others or ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(proof: Proof) -> dict[str, object]:
    """The proof, for a file: no times in it."""
    return asdict(proof)
