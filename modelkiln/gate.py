"""The one door to a registry and its aliases: whether a verdict is a pass of this very artifact.

A verdict is a file, and who can write to it can write anything. So it has to say what the suite would have said:
exactly the checks that the suite makes of such an artifact, each with its figures, held to the bounds that were asked
for. Who invents the figures too can still forge one (docs/gate.md); a signature (signing.py) closes that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelkiln import env, plan, signing, tasks
from modelkiln.artifact import Manifest
from modelkiln.bounds import LOOSEST, Bounds
from modelkiln.errors import ModelkilnError
from modelkiln.files import to_json
from modelkiln.plan import Expected, Subject
from modelkiln.verdict import FEW, NOT_APPLICABLE, VERDICT, Check, Verdict

AGAIN = "validate the artifact again with this modelkiln (`dvc repro validate`)"


def require_pass(verdict: Verdict, manifest: Manifest, bounds: Bounds | None, refusal: str) -> None:
    """Returns where the verdict is a pass of this artifact by the whole of this suite.

    Args:
        verdict: Read by read_verdict, or made by the suite.
        manifest: Of the artifact.
        bounds: Those that it has to be judged by; None: any that are no looser than bounds.LOOSEST.
        refusal: Begins the message: `not registered`.

    Raises:
        ModelkilnError: it is none; says why, and what to do.
    """
    require_own_pass(verdict, manifest, refusal)
    if verdict.suite != plan.suite_digest():
        raise ModelkilnError(f"{refusal}: its verdict is by other checks than this modelkiln's; {AGAIN}")
    mistakes = [*flaws(verdict, manifest), *_other_bounds(verdict, bounds)]
    if mistakes:
        more = f"; and {len(mistakes) - FEW} more" if len(mistakes) > FEW else ""
        raise ModelkilnError(f"{refusal}: its verdict was not earned: {'; '.join(mistakes[:FEW])}{more}; {AGAIN}")


def require_own_pass(verdict: Verdict, manifest: Manifest, refusal: str) -> None:
    """Returns where the verdict says of itself that it is a pass of this artifact, by whatever suite.

    Raises:
        ModelkilnError: it is negative, or another artifact's.
    """
    if not (verdict.passed and verdict.is_borne_out()):
        raise ModelkilnError(f"{refusal}: its verdict is negative: {verdict.reason()}")
    if verdict.artifact != manifest.digest:
        raise ModelkilnError(f"{refusal}: its verdict is of artifact {verdict.artifact}, this is {manifest.digest}")


def require_signature(verdict: Verdict, signature: str, refusal: str) -> None:
    """Returns where no key is asked for (env.verdict_key), or the verdict is signed by its owner.

    Raises:
        ModelkilnError: it is not signed, or by another key, or the verdict was changed since.
    """
    if key := env.verdict_key():
        try:
            signing.verify_text(VERDICT, to_json(asdict(verdict)), key, signature)
        except ModelkilnError as error:
            raise ModelkilnError(f"{refusal}: {error}") from error


def flaws(verdict: Verdict, manifest: Manifest) -> list[str]:
    """What a verdict lacks, or has too much of, beside what this suite finds out about such an artifact; a line each.

    A check that has failed is no flaw: it is what the verdict says.
    """
    lacking = [name for name in plan.COUNTS if verdict.counts.get(name, -1) < 0]
    if lacking:
        return [f"it does not say how many {', '.join(lacking)} there were"]
    try:
        bounds = asdict(Bounds(**verdict.bounds))
    except (TypeError, ValueError) as error:
        return [f"its bounds are none: {error}"]
    encoders = sorted(tasks.load(manifest.task).ENCODERS)
    if sorted(manifest.encoders) != encoders:
        return [f"the artifact has the encoders {sorted(manifest.encoders)}, and its task wants {encoders}"]
    wanted = {each.name: each for each in plan.expected(subject_of(verdict, manifest))}
    found = {check.name: check for check in verdict.checks}
    mistakes = [f"{name} is missing" for name in wanted if name not in found]
    mistakes += [f"{name} is no check of this suite" for name in found if name not in wanted]
    if len(found) < len(verdict.checks):
        mistakes.append(f"{len(verdict.checks) - len(found)} checks are there twice")
    for name, check in found.items():
        if name in wanted:
            mistakes += [f"{name}: {flaw}" for flaw in _flaws_of(check, wanted[name], bounds)]
    return mistakes


def subject_of(verdict: Verdict, manifest: Manifest) -> Subject:
    """What the verdict is about, as far as it decides which checks apply."""
    return Subject(manifest, verdict.counts, corpus_is_golden=verdict.corpus == verdict.golden)


def _flaws_of(check: Check, wanted: Expected, bounds: Mapping[str, float]) -> list[str]:
    if check.has_failed():
        return []
    if (check.outcome == NOT_APPLICABLE) is wanted.applies:
        said = "has something to judge" if wanted.applies else "has nothing to judge"
        return [f"{said}, and is {check.outcome}"]
    if not wanted.applies:
        return []
    mistakes = [f"lacks the figure {name}" for name in wanted.figures if name not in check.figures]
    mistakes += [f"has a figure {name}, which is none of it" for name in check.figures if name not in wanted.figures]
    for name, limit in wanted.figures.items():
        bound = bounds[limit.bound] if isinstance(limit.bound, str) else limit.bound
        figure = check.figures.get(name)
        if figure and (figure.side, figure.bound) != (limit.side, bound):
            mistakes.append(f"holds {name} to {figure.allowed()}, expected {limit.side} {bound}")
    return mistakes


def _other_bounds(verdict: Verdict, bounds: Bounds | None) -> list[str]:
    if bounds is not None:
        wanted = asdict(bounds)
        return [
            f"its bound {name} is {verdict.bounds.get(name)}, and params.yaml says {value:g}"
            for name, value in wanted.items()
            if verdict.bounds.get(name) != value
        ]
    loosest: dict[str, Any] = asdict(LOOSEST)
    return [
        f"its bound {name} is {value:g}, and beyond {loosest[name]:g} it means nothing"
        for name, value in verdict.bounds.items()
        if (value < loosest[name] if name.startswith("min_") else value > loosest[name])
    ]
