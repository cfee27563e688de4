"""The figures of the checks, each with what it is held to; plan.py says which check has which."""

from __future__ import annotations

from dataclasses import dataclass

AT_10 = 10  # keywords, and nearest texts
CALLS = 48  # by two threads; fewer: one of them has raised


@dataclass(frozen=True)
class Limit:
    """What a figure is held to."""

    side: str  # "at most", "at least"; or nothing, where there is no bound
    bound: str | float | None  # a field of Bounds, or the number; None: it is there to be known


def at_most(bound: str | float) -> Limit:
    """The figure may not be larger."""
    return Limit("at most", bound)


def at_least(bound: str | float) -> Limit:
    """The figure may not be smaller."""
    return Limit("at least", bound)


KNOWN = Limit("", None)
NONE = at_most(0.0)
SOME = at_least(1.0)
INVARIANT = at_most("invariance_atol")
VECTORS = {
    "min_cosine": at_least("min_cosine"),
    "max_abs_difference": at_most("atol"),
    "max_rel_difference": at_most("rtol"),
    "max_norm_difference": at_most("rtol"),
}
KEYWORDS = {
    "agreement": at_least("min_agreement"),
    "overlap": at_least("min_overlap"),
    "rbo": at_least("min_rbo"),
    "max_score_difference": at_most("score_atol"),
}
NEIGHBOURS = {f"overlap_at_{AT_10}": at_least("min_neighbours")}
NOISE = {
    **{f"max_abs_difference_of_{kind}": at_most("atol") for kind in ("runs", "threads", "neighbours")},
    **{f"max_rel_difference_of_{kind}": at_most("rtol") for kind in ("runs", "threads", "neighbours")},
    "invariance": INVARIANT,
    "min_cosine": at_least("min_cosine"),
    "rounding_of_scores": at_most("score_atol"),
    "rounding_of_ties": at_most("tie_atol"),
}
QUALITY = {
    **{f"f1_at_{number}{model}": KNOWN for number in (5, AT_10, 15) for model in ("", "_of_the_uncompiled")},
    f"f1_loss_at_{AT_10}_upper": at_most("max_f1_loss"),
    "documents": KNOWN,
}
TABLE = VECTORS | {
    "difference_from_the_graph": INVARIANT,
    "times_the_graphs_own_difference": at_most(10.0),  # 1 to 2 as compiled
    "words": SOME,
    "lacking": NONE,
    "not_asked_for": NONE,
}
COMPANY = ("together", "reversed", "shuffled", "twice_in_a_call", "again", "beside_the_longest")
TEXTS = {"texts": SOME, "different": NONE}
