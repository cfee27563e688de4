"""The suite's options, and the record that it keeps. pytest loads it by an entry point; idle without --artifact."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from modelkiln.bounds import STRICT, Bounds
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.verdict import EVIDENCE, EVIDENCE_FILES, NO_DEVICE, NOT_APPLICABLE, VERDICT, Check, Figure, Verdict

if TYPE_CHECKING:
    from modelkiln.figures import Limit

PREDICTIONS = pytest.StashKey[dict[str, Any]]()  # the golden samples, for the registry
ROWS = pytest.StashKey[dict[str, list[Any]]]()  # rows for the plots and the report, by the file that they go to
IDENTITY = pytest.StashKey[dict[str, Any]]()  # what was judged
RECORD = pytest.StashKey["Record"]()
OF_THE_SOURCE = (
    "of_the_source"  # marks a check of the source itself: it needs the uncompiled model, and no compiled one
)
COMPILED = {"forgetful", "predictor", "served"}  # fixtures that run the compiled model
SAID = 3  # of what a verdict lacks


def pytest_load_initial_conftests(args: list[str], parser: pytest.Parser) -> None:
    """The suite's options, for runs of the suite alone: any other run of pytest may have options of these names."""
    if not _asks_for_the_suite(args):
        return
    group = parser.getgroup("modelkiln", "judging a compiled artifact (--pyargs modelkiln.checks)")
    group.addoption("--artifact", type=Path, help="the artifact to judge, a folder")
    group.addoption("--source", type=Path, help="the uncompiled model, a folder; or a recording of what it said")
    group.addoption("--golden", type=Path, help="golden samples, JSONL of id and text (default: modelkiln's own)")
    group.addoption("--corpus", type=Path, help="JSONL of id, text and gold keywords (default: the golden samples)")
    group.addoption("--reports", type=Path, help="folder to write the verdict, the predictions and the evidence to")
    group.addoption("--asked", type=Path, help="what compile was asked for: evidence/asked.json of a validation")
    group.addoption("--remember", type=Path, help="folder that keeps the uncompiled model's vectors for the next run")
    group.addoption("--without-device", metavar="REASON", help="rehearse: the uncompiled model runs in its place")
    for bound in fields(Bounds):
        option, default = f"--{bound.name.replace('_', '-')}", getattr(STRICT, bound.name)
        group.addoption(option, type=float, default=default, help=f"{bound.metadata['meaning']} [%(default)s]")


def pytest_configure(config: pytest.Config) -> None:
    """Starts the record of a run of the suite."""
    if _asks_for_the_suite(config.invocation_params.args):
        config.stash[PREDICTIONS] = {}
        config.stash[ROWS] = {}
        config.stash[IDENTITY] = {"artifact": "", "counts": {}}
        config.addinivalue_line("markers", f"{OF_THE_SOURCE}: needs the uncompiled model, and no compiled one")
        config.stash[RECORD] = Record(config)
        config.pluginmanager.register(config.stash[RECORD], "modelkiln-record")


class Record:
    """Collects what became of each check, and writes it down at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rehearsal: str | None = config.getoption("--without-device")
        self._checks: dict[str, Check] = {}
        self._stood_in: set[str] = (
            set()
        )  # checks of a rehearsal that ran the uncompiled model in the compiled one's place
        self._of_the_source: set[str] = set()
        self._error = ""

    def of_the_source(self) -> dict[str, Check]:
        """The checks of the source itself, so far."""
        return {name: check for name, check in self._checks.items() if name in self._of_the_source}

    def take_over(self, items: Iterable[pytest.Item], recorded: Mapping[str, Check]) -> None:
        """Puts down checks that can't be repeated here as they were recorded."""
        for item in items:
            name = _name(item.nodeid)
            self._checks[name] = recorded.get(name, Check(name, "error", reason="it was not recorded"))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learns what each check is about."""
        for item in items:
            if item.get_closest_marker(OF_THE_SOURCE):
                self._of_the_source.add(_name(item.nodeid))
            if self._rehearsal and COMPILED.intersection(getattr(item, "fixturenames", ())):
                self._stood_in.add(_name(item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that can't be collected, or that skips itself, is a check that has not passed."""
        if not report.passed:
            name = _name(report.nodeid) or "collection"
            self._checks[name] = Check(name, "error" if report.failed else "skipped", reason=_reason(report))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """A part of the checks is no verdict."""
        if items:
            self._error = f"{len(items)} checks were deselected"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and tear-down each report; the worst of them counts."""
        name = _name(report.nodeid)
        figures = {key: value for key, value in report.user_properties if isinstance(value, Figure)}
        if report.failed:
            outcome = "failed" if report.when == "call" else "error"
            self._checks[name] = Check(name, outcome, figures, _reason(report))
        elif report.skipped:
            outcome = NOT_APPLICABLE if (NOT_APPLICABLE, True) in report.user_properties else "skipped"
            self._checks[name] = Check(name, outcome, figures, _reason(report))
        elif report.when == "call":
            self._checks[name] = Check(name, "passed", figures)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Writes the reports. Only a run in which every check passed is a positive verdict."""
        folder: Path | None = self._config.getoption("--reports")
        if folder is None:
            return
        checks = sorted(self._checks.values(), key=lambda check: _natural(check.name))
        error = self._error if checks else "pytest found no checks to run"
        if self._rehearsal:
            # What ran in the compiled model's place may speak against it, and never for it.
            against = ("failed", "error")
            checks = [check for check in checks if check.outcome in against or check.name not in self._stood_in]
            self._config.stash[PREDICTIONS].clear()
            self._config.stash[ROWS].clear()
            error = error or f"{NO_DEVICE}: {self._rehearsal}"
        # Imported here: this module is loaded with every pytest run of the environment.
        from modelkiln.files import to_json, write_text
        from modelkiln.plan import suite_digest

        identity: dict[str, Any] = self._config.stash[IDENTITY]
        verdict = Verdict(
            passed=False,
            bounds=asdict(bounds_of(self._config)),
            suite=suite_digest(),
            checks=checks,
            error=error,
            **identity,
        )
        verdict = replace(verdict, error=error or self._flaws(verdict))
        verdict = replace(verdict, passed=exitstatus == 0 and verdict.is_borne_out())

        write_text(folder / VERDICT, to_json(asdict(verdict)))
        write_text(folder / "predictions.json", to_json(self._config.stash[PREDICTIONS]))
        for name in EVIDENCE_FILES:
            write_text(folder / EVIDENCE / name, to_json(self._config.stash[ROWS].get(name, [])))

    def _flaws(self, verdict: Verdict) -> str:
        """What the run has left out of what the plan asks of it; nothing where the artifact can't be read."""
        from modelkiln import gate
        from modelkiln.artifact import read_manifest

        if not verdict.artifact:
            return ""
        try:
            found = gate.flaws(verdict, read_manifest(self._config.getoption("--artifact")))
        except ModelkilnError as error:
            return one_line(error)
        return "; ".join(found[:SAID])


class Judge:
    """Holds a check's figures to the limits that the plan has for them, and puts both on record, also when all is well.

    A check goes on after a figure out of bounds, so that its other figures are on record too, and fails at its end.
    """

    def __init__(self, limits: Mapping[str, Limit], bounds: Bounds, properties: list[tuple[str, object]]) -> None:
        """`limits`: the check's, by the names of its figures; `properties`: where the figures go on record."""
        self._limits = limits
        self._bounds = bounds
        self._properties = properties
        self.broken: list[str] = []  # what is out of bounds so far, in words

    def hold(self, name: str, value: float) -> None:
        """Puts a figure on record; the check will fail where it is out of its bound, or no number."""
        limit = self._limits[name]
        bound = getattr(self._bounds, limit.bound) if isinstance(limit.bound, str) else limit.bound
        self._hold(name, value, None if bound is None else float(bound), limit.side)

    def hold_all(self, figures: Mapping[str, float]) -> None:
        """Those of the figures that the check has."""
        for name in self._limits:
            if name in figures:
                self.hold(name, figures[name])

    def not_applicable(self, reason: str) -> NoReturn:
        """Ends a check that has nothing to judge. It says so, and the verdict does not depend on it."""
        self._properties.append((NOT_APPLICABLE, True))
        pytest.skip(reason)

    def _hold(self, name: str, value: float, bound: float | None, side: str) -> None:
        exact = Figure(float(value) if math.isfinite(value) else None, bound, side)
        figure = Figure(rounded(value), bound, side)
        self._properties.append((name, figure if figure.holds() is exact.holds() else exact))
        if not exact.holds():
            has_to_be = f"has to be {side} {bound:g}" if bound is not None else "has to be a number"
            self.broken.append(f"{name} is {value:.4g}, {has_to_be}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Fails the check that has come to its end with a figure out of bounds."""
    result = yield
    judge = pyfuncitem.funcargs.get("judge")
    if isinstance(judge, Judge) and judge.broken:
        pytest.fail("; ".join(judge.broken), pytrace=False)
    return result


def bounds_of(config: pytest.Config) -> Bounds:
    """The bounds that this run's options give."""
    return Bounds(**{bound.name: config.getoption(bound.name) for bound in fields(Bounds)})


@pytest.fixture
def judge(request: pytest.FixtureRequest) -> Judge:
    """See Judge."""
    from modelkiln import plan

    return Judge(plan.limits(_name(request.node.nodeid)), bounds_of(request.config), request.node.user_properties)


def _asks_for_the_suite(arguments: Iterable[str]) -> bool:
    return any(argument.startswith("modelkiln.checks") for argument in arguments)


def rounded(value: float, digits: int = 3) -> float | None:
    """By default three digits: enough to judge by, and stable where the last bits are not. None: no finite number."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _natural(name: str) -> list[tuple[int, str]]:
    """9 to 16 before 17 to 32."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _name(nodeid: str) -> str:
    """`test_vectors.py::test_golden_texts` as people say it: vectors: golden texts."""
    path, _, test = nodeid.partition("::")
    area = path.rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")
    return f"{area}: {test.removeprefix('test_').replace('_', ' ')}" if test else area


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The failure's one line, or the line of the traceback that says it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash:
        return one_line(crash.message)[:1000]
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[-1]).removeprefix("Skipped: ")
    return one_line(report.longrepr)[:1000]
