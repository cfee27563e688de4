"""A verdict as the suite writes it of an artifact that passes: every check of the plan, each figure at its bound."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelkiln import plan
from modelkiln.artifact import Manifest
from modelkiln.bounds import STRICT, Bounds
from modelkiln.figures import Limit
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict

COUNTS = {"documents": 5, "words": 40, "graded": 0, "registered": 0}


def earned(manifest: Manifest, bounds: Bounds = STRICT, counts: dict[str, int] = COUNTS, **changes: Any) -> Verdict:
    """The verdict, with changes."""
    said: dict[str, Any] = {
        "passed": True,
        "artifact": manifest.digest,
        "source": manifest.source,
        "bounds": asdict(bounds),
        "golden": "a" * 64,
        "corpus": "a" * 64,
        "counts": counts,
        "suite": plan.suite_digest(),
        "checks": [
            Check(each.name, "passed", {name: _figure(limit, asdict(bounds)) for name, limit in each.figures.items()})
            if each.applies
            else Check(each.name, NOT_APPLICABLE, reason="there is nothing to judge")
            for each in plan.expected(plan.Subject(manifest, counts, corpus_is_golden=True))
        ],
    }
    return Verdict(**{**said, **changes})


def _figure(limit: Limit, bounds: dict[str, float]) -> Figure:
    bound = bounds[limit.bound] if isinstance(limit.bound, str) else limit.bound
    return Figure(0.5, None, "") if bound is None else Figure(float(bound), float(bound), limit.side)
