"""The verdict on an artifact: passed or not, and for each check the figures, their bounds, and the reason of a failure.

verdict.json is deterministic: it holds no time and no duration, and its figures are rounded, so that the upload stage
runs again only when the judgement is another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import schema
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import read_json

VERDICT = "verdict.json"
EVIDENCE = "evidence"  # the folder beside it
EVIDENCE_FILES = ("documents.json", "lengths.json", "quality.json", "scores.json", "worst.json")  # lists, empty or not
FEW, LONGEST = 3, 300  # reasons on one line, and characters of each
NOT_APPLICABLE = "not applicable"
NO_DEVICE = "not validated on a device"  # how the error of a verdict begins that a device has to complete
SIDES = ("at most", "at least")
OUTCOMES = ("passed", "failed", "error", "skipped", NOT_APPLICABLE)


@dataclass(frozen=True)
class Figure:
    """A measured figure beside its bound."""

    value: float | None  # rounded to three digits, but never across the bound; None: not a finite number
    bound: float | None  # None: it is there to be known
    side: str  # one of SIDES; or nothing, where there is no bound

    def __post_init__(self) -> None:
        sides = SIDES if self.bound is not None and math.isfinite(self.bound) else ("",) * (self.bound is None)
        if self.side not in sides or not math.isfinite(self.value or 0.0):
            raise ValueError(f"no figure: value {self.value}, side {self.side!r}, bound {self.bound}")

    def __str__(self) -> str:
        return f"{self.said()} ({self.allowed()})"

    def said(self) -> str:
        """The value, for people to read."""
        return "not finite" if self.value is None else f"{self.value:g}"

    def allowed(self) -> str:
        """The bound, for people to read."""
        return "no bound" if self.bound is None else f"{self.side} {self.bound:g}"

    def holds(self) -> bool:
        """Whether the figure is within its bound; a figure that is no number never is."""
        if self.value is None or self.bound is None:
            return self.value is not None
        return self.value <= self.bound if self.side == "at most" else self.value >= self.bound


@dataclass(frozen=True)
class Check:
    """What became of one check."""

    name: str
    outcome: str  # one of OUTCOMES; the verdict does not depend on a check that is not applicable
    figures: dict[str, Figure] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome is {self.outcome!r}, expected one of {', '.join(OUTCOMES)}")

    def has_failed(self) -> bool:
        """Whether it counts against the artifact: all but a pass does, where there was something to judge."""
        return self.outcome not in ("passed", NOT_APPLICABLE)


@dataclass(frozen=True)
class Verdict:
    """The judgement on one artifact."""

    passed: bool
    artifact: str  # its content digest; empty where it could not be read
    source: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    golden: str = ""  # sha256 of the golden samples
    corpus: str = ""  # and of the documents that it was judged by
    counts: dict[str, int] = field(default_factory=dict)  # what decides which checks apply; see checks/plan.py
    suite: str = ""  # which suite judged: checks.plan.suite_digest
    checks: list[Check] = field(default_factory=list)
    error: str = ""  # why there is no positive verdict, where no check says it

    def is_borne_out(self) -> bool:
        """Whether each check that applies has passed, once, and each figure is within its bound.

        Whether these are all the checks, and the right bounds, only modelkiln.gate can tell.
        """
        return (
            bool(self.applicable())
            and not self.error
            and not self.failed()
            and len({check.name for check in self.checks}) == len(self.checks)
            and all(figure.holds() for check in self.checks for figure in check.figures.values())
        )

    def lacked_device(self) -> bool:
        """Whether what the artifact needs to run was not there."""
        return self.error.startswith(NO_DEVICE)

    def applicable(self) -> list[Check]:
        """The checks that had something to judge."""
        return [check for check in self.checks if check.outcome != NOT_APPLICABLE]

    def failed(self) -> list[Check]:
        """The checks that count against the artifact."""
        return [check for check in self.checks if check.has_failed()]

    def failures(self) -> list[str]:
        """One line for each reason of a negative verdict."""
        failed = [f"{check.name}: {check.reason or check.outcome}" for check in self.failed()]
        return failed + ([self.error] if self.error else [])

    def reason(self) -> str:
        """Why the verdict is negative, on one line: the first few reasons, and how many more there are."""
        failures = [failure if len(failure) <= LONGEST else f"{failure[:LONGEST]}…" for failure in self.failures()]
        more = f"; and {len(failures) - FEW} more, which the report shows" if len(failures) > FEW else ""
        return "; ".join(failures[:FEW]) + more

    def figures(self) -> list[tuple[str, str, str, str]]:
        """(check, figure, value, bound) for people to read."""
        return [
            (check.name, name, figure.said(), figure.allowed())
            for check in self.checks
            for name, figure in check.figures.items()
        ]


def completed(verdict: Verdict, by: Verdict) -> Verdict:
    """The verdict of the machine that could run the artifact, in the place of the one that lacked a device.

    Args:
        verdict: Of the validation.
        by: What `modelkiln verify --reference` gave where the device is.

    Raises:
        ModelkilnError: they are not about the same artifact, source, texts and bounds; or the validation's is negative
            for a reason that no other machine mends.
    """
    names = ("artifact", "source", "golden", "corpus", "bounds", "suite")
    other = [name for name in names if getattr(verdict, name) != getattr(by, name)]
    if other:
        raise ModelkilnError(
            f"the verdict of `modelkiln verify` is about another {' and another '.join(other)} than the validation's: "
            f"run it with the artifact and the {EVIDENCE}/reference of this validation"
        )
    if not (verdict.passed or (verdict.lacked_device() and not verdict.failed())):
        raise ModelkilnError(f"the validation's own verdict is negative, whatever a device says: {verdict.reason()}")
    return by


def to_check(data: Any) -> Check:
    """The check that JSON has.

    Raises:
        ModelkilnError: it is none.
    """
    mistakes: list[str] = []
    check = schema.parse(Check, data, "check", mistakes)
    raise_all("damaged", mistakes)
    assert isinstance(check, Check)  # noqa: S101 (raise_all has raised otherwise)
    return check


def read_verdict(path: Path) -> Verdict:
    """The verdict in a file.

    Raises:
        ModelkilnError: there is none, it is damaged, or it says that it passed and its checks do not.
    """
    data = read_json(path, "the verdict")
    mistakes: list[str] = []
    verdict = schema.parse(Verdict, data, "", mistakes)
    if verdict is None:
        raise ModelkilnError(f"{path}: the verdict is damaged: {'; '.join(mistakes)}; run `dvc repro validate`")
    if verdict.passed and not verdict.is_borne_out():
        raise ModelkilnError(f"{path}: `passed` is true, its checks say otherwise; run `dvc repro validate`")
    assert isinstance(verdict, Verdict)  # noqa: S101
    return verdict
