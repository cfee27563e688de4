"""How far a compiled model's answers may be from the uncompiled model's: the bounds that the checks hold figures to."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _bound(meaning: str) -> float:
    return field(metadata={"meaning": meaning})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Bounds:
    """One number for each thing that could be lost; conf/validation/ has three choices of them."""

    atol: float = _bound("largest absolute difference of a vector's component")
    rtol: float = _bound("largest length of the difference of two vectors, relative to the length of the original's")
    min_cosine: float = _bound("smallest cosine of a text's two vectors")
    invariance_atol: float = _bound("largest difference of a text's vector between two calls")
    score_atol: float = _bound("largest difference of a keyword's score")
    tie_atol: float = _bound("keywords whose scores differ by no more are tied: their order is nobody's answer")
    min_agreement: float = _bound("share of documents with the same keywords in the same order, ties aside")
    min_overlap: float = _bound("share of the keywords that both models name")
    min_rbo: float = _bound("rank-biased overlap of the keywords, which weighs the first ones most")
    min_neighbours: float = _bound("share of a text's ten nearest neighbours that both models name")
    max_f1_loss: float = _bound("F1 at 10 lost on gold key phrases, at the upper end of its 95% interval")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{each.name} must be from 0 to 1, found {value}")


# What fp32 has to reach; the same as conf/validation/strict.yaml.
STRICT = Bounds(
    atol=1e-4,
    rtol=1e-3,
    min_cosine=0.9999,
    invariance_atol=1e-5,
    score_atol=1e-4,
    tie_atol=1e-4,
    min_agreement=1.0,
    min_overlap=1.0,
    min_rbo=1.0,
    min_neighbours=1.0,
    max_f1_loss=0.0,
)

# Of each bound the loosest that a choice in conf/validation/ has. By looser ones nothing is promoted.
LOOSEST = Bounds(
    atol=0.15,
    rtol=0.4,
    min_cosine=0.93,
    invariance_atol=0.1,
    score_atol=0.1,
    tie_atol=1e-3,
    min_agreement=0.0,
    min_overlap=0.5,
    min_rbo=0.5,
    min_neighbours=0.8,
    max_f1_loss=0.02,
)
