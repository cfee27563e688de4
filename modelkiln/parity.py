"""Two sets of answers -> figures and failures: how far the compiled model is from the uncompiled one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Keywords = Sequence[tuple[str, float]]
AT_ONCE = 2048  # vectors: their copies in double precision stay in the processor's cache
PERSISTENCE = 0.9  # of rank-biased overlap: the first ten keywords have 86% of the weight


@dataclass(frozen=True)
class Document:
    """How the answers for one document differ, once ties are settled."""

    agreement: bool  # the same keywords in the same order
    overlap: float  # share of keywords that both name
    rbo: float
    score_difference: float  # the largest; NaN where a score is no number


@dataclass(frozen=True)
class Parity:
    """What a comparison found."""

    figures: dict[str, float]
    failures: list[str] = field(default_factory=list)  # one line for each answer that is wrong
    documents: list[Document] = field(default_factory=list)  # of keywords: one for each document


def compare_vectors(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Parity:
    """How far two arrays of vectors, both (n, dimension), are apart.

    Returns:
        `min_cosine`, `max_abs_difference` (of a component), `max_rel_difference` (length of the difference, relative to
        the length of the expected vector), `max_norm_difference` (of the two lengths, relative to the expected), each
        over all texts, and `finite` (1.0, or 0.0). All but `finite` are NaN where a number is not finite, so that no
        bound holds for them.
    """
    if expected.shape != actual.shape:
        return Parity({}, [f"vectors of shape {actual.shape}, expected {expected.shape}"])
    if not expected.size:
        return Parity({}, [f"vectors of shape {actual.shape}: there is nothing to compare"])
    parts = [
        _differences(expected[start : start + AT_ONCE], actual[start : start + AT_ONCE])
        for start in range(0, len(expected), AT_ONCE)
    ]
    cosines, differences, apart, longer = (np.concatenate(each) for each in zip(*parts, strict=True))
    finite = bool(np.isfinite(expected).all() and np.isfinite(actual).all())
    figures = {
        "min_cosine": cosines.min(),
        "max_abs_difference": differences.max(),
        "max_rel_difference": apart.max(),
        "max_norm_difference": longer.max(),
    }
    return Parity(
        {name: float(value) if finite else math.nan for name, value in figures.items()} | {"finite": float(finite)}
    )


def vector_differences(
    expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each text the cosine of its two vectors, and the largest absolute difference of a component.

    Both are NaN for a text with a vector that is not finite. Two vectors of zeros are the same; one beside a vector of
    another kind has no cosine: NaN.
    """
    cosines, differences, _, _ = _differences(expected, actual)
    return cosines, differences


def neighbours_overlap(
    expected: NDArray[np.float32], actual: NDArray[np.float32], k: int = 10, tie_atol: float = 0.0
) -> float:
    """The share of each text's k nearest other texts, by cosine, that both models' vectors have: the mean over texts.

    A neighbour that the reference has within `tie_atol` of its k-th is as good as that one. With no more than k + 1
    texts all are neighbours of all, and the figure is 1 whatever the vectors are. NaN where a vector is not finite.
    """
    if len(expected) != len(actual):
        raise ValueError(f"vectors of {len(actual)} texts, expected {len(expected)}")
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return math.nan
    texts, k = len(expected), min(k, len(expected) - 1)
    if k < 1:
        return 1.0
    exact, found = _directions(expected), _directions(actual)
    shares = []
    for text in range(texts):  # one at a time: a large corpus would have a larger matrix
        wanted, cosines = exact @ exact[text], found @ found[text]
        wanted[text] = cosines[text] = -np.inf  # not its own neighbour
        least = np.partition(wanted, texts - k)[texts - k] - tie_atol
        nearest = np.argsort(-cosines, kind="stable")[:k]
        shares.append(float(np.count_nonzero(wanted[nearest] >= least)) / k)
    return sum(shares) / texts


def compare_keywords(expected: Sequence[Keywords], actual: Sequence[Keywords], tie_atol: float) -> Parity:
    """How two extractions over the same documents differ.

    Ties are settled first. A keyword is as good as the wanted one at its position where their scores differ by at most
    `tie_atol`: by the reference's own scores, or, for a keyword that the reference does not name (of two that score the
    same, either may be the last to be named), by the score that it was found with. It then counts as the wanted one.
    Other differences of scores are a figure of their own, and no part of the rest.

    Args:
        expected: For each document (keyword, score) pairs.
        actual: The same, to be judged.
        tie_atol: The largest difference of scores that is a tie.

    Returns:
        The figures `agreement` (share of documents with the same keywords in the same order), `overlap` (mean share of
        keywords that both name), `rbo` (mean rank-biased overlap, see rank_biased_overlap) and `max_score_difference`
        (of keywords that both name or that are settled as ties; NaN where a found score is no number); the same for
        each document; and a failure for each document without agreement.
    """
    if len(expected) != len(actual):
        return Parity({}, [f"answers for {len(actual)} documents, expected {len(expected)}"])
    pairs = list(zip(expected, actual, strict=True))
    documents = [_compare(wanted, found, tie_atol) for wanted, found in pairs]
    figures = {
        "agreement": _mean([float(document.agreement) for document in documents]),
        "overlap": _mean([document.overlap for document in documents]),
        "rbo": _mean([document.rbo for document in documents]),
        # np.max, unlike max, does not lose a NaN.
        "max_score_difference": float(np.max([0.0, *(document.score_difference for document in documents)])),
    }
    failures = [
        f"document {index}: found {list(found)}, expected {list(wanted)}"
        for index, ((wanted, found), document) in enumerate(zip(pairs, documents, strict=True))
        if not document.agreement
    ]
    return Parity(figures, failures, documents)


def rank_biased_overlap(wanted: Sequence[str | None], found: Sequence[str | None]) -> float:
    """How much two ranked lists agree, from 0 to 1, the first ranks weighing most; 1 for two empty lists.

    RBO_EXT of Webber, Moffat and Zobel, "A similarity measure for indefinite rankings" (ACM TOIS 28(4), 2010), equation
    30, to the depth of the longer list, with its weights scaled to a sum of 1 in floats too, so that equal lists give
    exactly 1. The paper's equation 32 would count what a shorter list lacks as agreed; here a list ends where it ends,
    and what it lacks is missing. A None equals nothing.
    """
    depth = max(len(wanted), len(found))
    if not depth:
        return 1.0
    weights = [(1 - PERSISTENCE) * PERSISTENCE**rank for rank in range(depth)]
    weights[-1] += PERSISTENCE**depth  # what lies deeper is taken to agree as this does
    agreed = [len(_common(wanted[:end], found[:end])) / end for end in range(1, depth + 1)]
    return sum(weight * share for weight, share in zip(weights, agreed, strict=True)) / sum(weights)


def _differences(
    expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each text what vector_differences gives, and the relative differences of the vectors and of their lengths."""
    exact, found = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(exact).all(axis=1) & np.isfinite(found).all(axis=1)
    both_zero = ~exact.any(axis=1) & ~found.any(axis=1)  # a text without a token: the same answer, without a direction
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = exact - found
        length, other = np.linalg.norm(exact, axis=1), np.linalg.norm(found, axis=1)
        cosines = np.where(both_zero, 1.0, np.einsum("ij,ij->i", exact, found) / (length * other))
        largest = np.where(finite, np.abs(apart).max(axis=1), np.nan)  # a cosine with an infinity is NaN by itself
        return (
            cosines,
            largest,
            _relative(np.linalg.norm(apart, axis=1), length),
            _relative(np.abs(other - length), length),
        )


def _relative(differences: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for no difference, whatever the length; infinite for one to a vector of zeros."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(differences == 0, 0.0, differences / lengths)


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths == 0, 1.0, lengths)  # zeros have no direction: a cosine of 0 to every text


def _compare(wanted: Keywords, found: Keywords, tie_atol: float) -> Document:
    scores = dict(wanted)
    names, settled = _names(wanted), _settle(wanted, found, tie_atol)
    differences = [_difference(score, scores[keyword]) for keyword, score in found if keyword in scores]
    differences += [
        _difference(score, wanted_score)
        for name, (keyword, wanted_score), (_, score) in zip(settled, wanted, found, strict=False)
        if name == keyword
    ]
    if not all(math.isfinite(score) for _, score in found):
        differences.append(math.nan)
    longest = max(len(names), len(settled))
    return Document(
        agreement=names == settled and None not in names,
        overlap=len(_common(names, settled)) / longest if longest else 1.0,
        rbo=rank_biased_overlap(names, settled),
        score_difference=float(np.max([0.0, *differences])),
    )


def _settle(wanted: Keywords, found: Keywords, tie_atol: float) -> list[str | None]:
    """The found keywords, each under the wanted one's name where it is as good; no name comes twice."""
    scores, names = dict(wanted), _names(found)
    settled_at: dict[str, int] = {}
    for position, ((keyword, wanted_score), (_, score)) in enumerate(zip(wanted, found, strict=False)):
        name = names[position]
        # By the reference's own score, where it has one: the found ones are what is judged. False for NaN.
        if name is not None and _difference(scores.get(name, score), wanted_score) <= tie_atol:
            settled_at.setdefault(keyword, position)
    settled = names.copy()
    for keyword, position in settled_at.items():
        settled[position] = keyword
    for position in set(range(len(names))) - set(settled_at.values()):
        # In no tie where it stands. If its name went to another as the wanted one's, it gets that one's name in turn.
        name, path = names[position], [position]
        while name is not None and name in settled_at:
            path.append(settled_at[name])
            name = names[path[-1]]
        settled[position] = name
        if position < len(wanted) and name == wanted[position][0]:
            # Step by step all are ties, but not the first and the last of them: the order is the reference's to say.
            for each in path:
                settled[each] = names[each]
    return settled


def _names(keywords: Keywords) -> list[str | None]:
    """The keywords; None for one that is named for the second time, and for one whose score is no number."""
    seen: set[str] = set()
    names: list[str | None] = []
    for keyword, score in keywords:
        names.append(keyword if keyword not in seen and math.isfinite(score) else None)
        seen.add(keyword)
    return names


def _common(wanted: Sequence[str | None], found: Sequence[str | None]) -> set[str]:
    return {name for name in set(wanted) & set(found) if name is not None}


def _difference(score: float, other: float) -> float:
    """Scores come rounded to 4 digits; 0.3002 - 0.3001 is to be 1e-4, and not a little more, as floats have it."""
    return round(abs(score - other), 9)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0
