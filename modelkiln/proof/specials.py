"""Faults in a graph that show only where a special token is written out in a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from modelkiln.artifact import TOKENIZER
from modelkiln.proof.build import Change, build, changed
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good
from modelkiln.proof.graph import Steps, one_percent_off, wrap

MASKS = ("[MASK]", "<mask>")


def _with_id(find: Callable[[Good, Any], int], steps: Callable[[int], Steps]) -> Callable[[Good, Path], None]:
    """Makes a graph with these steps, given the id of a token that the tokenizer knows in a text."""

    def make(good: Good, folder: Path) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(good.folder / TOKENIZER))
        number = find(good, tokenizer)
        token = tokenizer.id_to_token(number)
        if token is None or number not in tokenizer.encode(token, add_special_tokens=False).ids:
            raise DoesNotApplyError(f"the tokenizer does not know {token} in a text")
        build(good, folder, Change(module=partial(wrap, steps(number))))

    return make


def _mask_id(good: Good, tokenizer: Any) -> int:  # noqa: ARG001 (as the other)
    found = [tokenizer.token_to_id(token) for token in MASKS if tokenizer.token_to_id(token) is not None]
    if not found:
        raise DoesNotApplyError(f"the tokenizer has no {' or '.join(MASKS)}")
    return int(found[0])


def _pad_id(good: Good, tokenizer: Any) -> int:  # noqa: ARG001
    return good.manifest.pad_id


def _off_among_longs(number: int) -> Steps:
    """1% off for texts that have the token and stand in the graph's matrix, not among a packed call's short ones."""
    return Steps(
        after=lambda vectors, found: one_percent_off(vectors, found > 0),
        weigh=lambda ids: (ids == number).to(ids.dtype) * (ids.dim() - 1),
    )


def _mask_by_id(number: int) -> Steps:
    """Whatever has the padding's id is taken for padding; a packed call pads its short texts only."""

    def before(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(inputs) == 2:
            return inputs[0], inputs[1] * (inputs[0] != number).to(inputs[1].dtype)
        long_ids, short_ids, positions, gather, scatter = inputs
        real = (short_ids[gather.clamp(min=0)] != number).to(gather.dtype)
        return long_ids, short_ids, positions, (gather + 1) * real - 1, scatter

    return Steps(before=before)


def _count_positions_over_padding(inner: Any) -> Any:
    """RoBERTa gives a padding token no position of its own, and goes on from the one before it."""
    import torch

    config = inner.model.config
    if not any(name in config.model_type for name in ("roberta", "camembert")):
        raise DoesNotApplyError(f"{config.model_type} counts its positions so")
    embeddings = inner.model.embeddings
    right = embeddings.forward
    counted: dict[str, Any] = {}

    def before(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        texts, length = inputs[0].shape
        places = torch.arange(length)
        if len(inputs) == 5:
            places = torch.cat([places.expand(texts, length).reshape(-1), inputs[2]])
        counted["positions"] = places[None] + config.pad_token_id + 1
        return inputs

    embeddings.forward = lambda **given: right(**{**given, "position_ids": counted["positions"]})
    return wrap(Steps(before=before), inner)


FAULTS = (
    Fault(
        "mask-token-in-long",
        "1% off for a call's longest texts with a mask token in them",
        ("hostile",),
        _with_id(_mask_id, _off_among_longs),
    ),
    Fault(
        "padding-by-id",
        "a padding token written in a text taken for padding",
        ("hostile",),
        _with_id(_pad_id, _mask_by_id),
    ),
    Fault(
        "positions-over-padding",
        "RoBERTa's positions counted over a padding token written in a text",
        ("hostile",),
        changed(Change(module=_count_positions_over_padding)),
    ),
)
