"""Faults that a compiler can put into a graph: what depends on the length, the batch, the neighbours, or on chance.

The right graph, and behind it operations on its vectors, all of which the graph computes from its own inputs: so they
are compiled as the rest is, and depend on what each call brings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from modelkiln import backends
from modelkiln.artifact import TOKENIZER
from modelkiln.proof.build import Change, build, changed
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, longest
from modelkiln.proof.tokens import rare_words

LEAK = 0.01  # of the neighbour's vector, or of another one
NOISE = 1e-3  # in a component
BATCH = 3  # texts
ALIKE = 14  # tokens
LARGE_BATCH = 48  # texts
MANY = 10_000  # more than a text has tokens
SPARE = 2  # positions that some models have and never use
AGAIN = ("artifact: graphs are what compile makes",)


class Steps:
    """What is done to the inputs, as a tuple, and to the vectors, which come with the number of tokens of each text.

    Or with the sum of what its tokens weigh: `weigh` is given ids, in a matrix those of texts of one length or of a
    padded call, in a row those of a packed call's short texts.
    """

    def __init__(
        self,
        before: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None,
        after: Callable[[Any, Any], Any] | None = None,
        weigh: Callable[[Any], Any] | None = None,
    ) -> None:
        self.before = before or (lambda inputs: inputs)
        self.after = after or (lambda vectors, tokens: vectors)  # noqa: ARG005
        self.weigh = weigh or (lambda ids: ids * 0 + 1)


def wrap(steps: Steps, inner: Any) -> Any:
    """A module of the inner one's layout."""
    import torch

    class Padded(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        layout = "padded"

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any]:
            (vectors,) = self.inner(*steps.before((input_ids, attention_mask)))
            return (steps.after(vectors, (steps.weigh(input_ids) * attention_mask).sum(1)),)

    class Packed(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        layout = "packed"

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, long_ids: Any, short_ids: Any, positions: Any, gather: Any, scatter: Any) -> tuple[Any]:
            (vectors,) = self.inner(*steps.before((long_ids, short_ids, positions, gather, scatter)))
            short = steps.weigh(short_ids)[gather.clamp(min=0)] * (gather >= 0).to(gather.dtype)
            return (steps.after(vectors, torch.cat([steps.weigh(long_ids).sum(1), short.sum(1)])),)

    return {"padded": Padded, "packed": Packed}[inner.layout]().eval()


def _after(change: Callable[[Any, Any], Any]) -> Callable[[Good, Path], None]:
    return changed(Change(module=partial(wrap, Steps(after=change))))


def _among(chosen: Callable[[int, Any], Any], spoil: Callable[[Any, Any], Any]) -> Callable[[Good, Path], None]:
    """Spoils the vectors of the texts that are chosen, given the longest length and the texts' own."""

    def make(good: Good, folder: Path) -> None:
        most = longest(good)
        steps = Steps(after=lambda vectors, tokens: spoil(vectors, chosen(most, tokens)))
        build(good, folder, Change(module=partial(wrap, steps)))

    return make


def one_percent_off(vectors: Any, chosen: Any) -> Any:
    """A little of a vector that points elsewhere added to each chosen one."""
    import torch

    half = vectors.shape[1] // 2
    other = torch.cat([vectors[:, half:], vectors[:, :half]], 1)
    return vectors + chosen.to(vectors.dtype)[:, None] * LEAK * other


def _nan(vectors: Any, chosen: Any) -> Any:
    return vectors.masked_fill(chosen[:, None], float("nan"))


def _in_bucket(most: int, tokens: Any) -> Any:
    """65 to 128 tokens of 256."""
    return (tokens > most // 4) & (tokens <= most // 2)


def _of_one_length(most: int, tokens: Any) -> Any:
    """100 tokens of 256."""
    return tokens == most * 100 // 256


def _of_a_length_between(most: int, tokens: Any) -> Any:
    """201 tokens of 256: every fifth length beyond 128 is another one."""
    return tokens == most * 201 // 256


def _of_two_words(good: Good, folder: Path) -> None:
    """A text that has both of two words, which no check asks for."""
    _require_repeatable(good)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(good.folder / TOKENIZER))
    (_, first), (_, second) = rare_words(tokenizer, 2)
    steps = Steps(
        weigh=lambda ids: (ids == first) * 1 + (ids == second) * MANY,
        after=lambda vectors, sums: one_percent_off(vectors, (sums >= MANY) & (sums % MANY > 0)),
    )
    build(good, folder, Change(module=partial(wrap, steps)))


def _beyond_the_longest(good: Good, folder: Path) -> None:
    """The last position, where texts are cut off before it."""
    _require_repeatable(good)

    def alter(model: Any) -> None:
        positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
        if positions is None or len(positions.weight) <= longest(good) + SPARE:
            raise DoesNotApplyError("a text can have every position that the model has")
        positions.weight[-1] *= 2

    build(good, folder, Change(model=alter))


def _require_repeatable(good: Good) -> None:
    if not backends.load(good.manifest.backend).REPEATABLE:
        raise DoesNotApplyError("no text shows it, and the checks don't compile this backend's graphs again")


def _long(most: int, tokens: Any) -> Any:
    return tokens > most * 3 // 4


def _alike(most: int, tokens: Any) -> Any:  # noqa: ARG001 (as the others)
    """Three texts or more of one length in a call, of 14 tokens or more."""
    return ((tokens[:, None] == tokens[None, :]).to(tokens.dtype).sum(1) >= BATCH) & (tokens >= ALIKE)


def _in_a_batch_of(number: int, most: int, tokens: Any) -> Any:  # noqa: ARG001 (as the others)
    """All texts of a call that gives so many vectors; counted by an operation, or the size would be a constant."""
    import torch

    return torch.ones_like(tokens) * torch.ones_like(tokens).sum() == number


def _in_a_large_batch(good: Good, folder: Path) -> None:
    if any(spec.max_batch < LARGE_BATCH for spec in good.manifest.encoders.values()):
        raise DoesNotApplyError(f"no call has {LARGE_BATCH} texts")
    _among(partial(_in_a_batch_of, LARGE_BATCH), one_percent_off)(good, folder)


def _twins(vectors: Any, sums: Any) -> Any:
    """Texts that stand twice in a call, by the sum of their ids' squares."""
    return one_percent_off(vectors, (sums[:, None] == sums[None, :]).to(sums.dtype).sum(1) > 1)


def _swap_dimensions(vectors: Any, tokens: Any) -> Any:  # noqa: ARG001 (as the others)
    import torch

    return torch.cat([vectors[:, :-2], vectors[:, -1:], vectors[:, -2:-1]], 1)


def _leak(vectors: Any, tokens: Any) -> Any:  # noqa: ARG001
    import torch

    before = torch.cat([torch.zeros_like(vectors[:1]), vectors])[:-1]
    return vectors + LEAK * before


def _at_random(vectors: Any, tokens: Any) -> Any:  # noqa: ARG001
    import torch

    return vectors + NOISE * torch.randn_like(vectors)


def _see_padding(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Attention and pooling take for tokens what fills a row up; in a rectangle, that is the first short token."""
    import torch

    if len(inputs) == 2:
        return inputs[0], torch.ones_like(inputs[1])
    long_ids, short_ids, positions, gather, scatter = inputs
    return long_ids, short_ids, positions, gather.clamp(min=0), scatter


FAULTS = (
    Fault(
        "mask-ignored",
        "padding taken for tokens",
        ("vectors", "invariance"),
        changed(Change(module=partial(wrap, Steps(before=_see_padding)))),
    ),
    Fault("dimensions-swapped", "the last two dimensions swapped", ("vectors",), _after(_swap_dimensions)),
    Fault("negated", "vectors with the other sign", ("vectors",), _after(lambda vectors, tokens: -vectors)),  # noqa: ARG005
    Fault("bucket-off", "1% off for 65 to 128 tokens of 256", ("vectors",), _among(_in_bucket, one_percent_off)),
    Fault("length-off", "1% off for exactly 100 tokens of 256", ("vectors",), _among(_of_one_length, one_percent_off)),
    Fault(
        "length-between",
        "1% off for exactly 201 tokens of 256",
        (*AGAIN, "vectors"),
        _among(_of_a_length_between, one_percent_off),
    ),
    Fault("two-words-off", "1% off for texts with both of two rare words", AGAIN, _of_two_words),
    Fault("position-unused", "another weight at a position that no text reaches", AGAIN, _beyond_the_longest),
    Fault("alike-off", "1% off for three texts of one length in a call", ("calls",), _among(_alike, one_percent_off)),
    Fault("nan-when-long", "NaN for long texts", ("vectors",), _among(_long, _nan)),
    Fault(
        "nan-in-a-batch",
        f"NaN for calls of {BATCH} texts",
        ("vectors", "invariance"),
        _among(partial(_in_a_batch_of, BATCH), _nan),
    ),
    Fault("batch-off", f"1% off in calls of {LARGE_BATCH} texts", ("vectors", "invariance"), _in_a_large_batch),
    Fault(
        "twins-off",
        "1% off where a text stands twice in a call",
        ("invariance",),
        changed(Change(module=partial(wrap, Steps(after=_twins, weigh=lambda ids: ids * ids)))),
    ),
    Fault("neighbour-leaks", "1% of the text before in each vector", ("invariance",), _after(_leak)),
    Fault("random", "noise of 1e-3, another one in each call", ("invariance",), _after(_at_random)),
)
