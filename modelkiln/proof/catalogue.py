"""Every fault that prove-gate knows, and the choice among them."""

from __future__ import annotations

from modelkiln.errors import ModelkilnError
from modelkiln.proof import files, graph, runtime, specials, statements, stowaways, texts, tokenizer, tokens, weights
from modelkiln.proof.fault import Fault, Good, copy_good

# A tiny model may have no noise of its own; scores are rounded whatever the model is.
BOUND = Fault(
    "bounds-below-noise",
    "a good artifact, held to less than the uncompiled model's own noise and rounding",
    ("noise",),
    copy_good,
    bounds={"atol": 1e-9, "tie_atol": 1e-5},
)


def all_faults(good: Good) -> list[Fault]:
    """The faults, for this artifact: those of bytes are as many as its files."""
    return [
        *weights.FAULTS,
        *tokens.FAULTS,
        *graph.FAULTS,
        *specials.FAULTS,
        *texts.FAULTS,
        *tokenizer.FAULTS,
        *files.byte_faults(good),
        *files.FAULTS,
        *statements.FAULTS,
        *stowaways.FAULTS,
        *runtime.FAULTS,
        BOUND,
    ]


def choose(faults: list[Fault], kinds: str | None) -> list[Fault]:
    """The faults of these kinds, with commas between them; all by default. `byte-flipped` is that of every file.

    Raises:
        ModelkilnError: there is no such kind.
    """
    if kinds is None:
        return faults
    wanted = [kind.strip() for kind in kinds.split(",")]
    known = {fault.name for fault in faults} | {fault.name.split(":")[0] for fault in faults}
    unknown = [kind for kind in wanted if kind not in known]
    if unknown:
        raise ModelkilnError(f"--kinds: unknown {', '.join(unknown)}; `modelkiln prove-gate --list` names all")
    return [fault for fault in faults if fault.name in wanted or fault.name.split(":")[0] in wanted]
