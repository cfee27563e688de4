"""The options of keyword extraction: their names and types, and what is refused because it means nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from modelkiln.errors import ModelkilnError
from modelkiln.keywords.ngrams import Vectorizer

MOST_CHOICES = 5_000_000  # that max-sum compares: 20 candidates and any number of them stay below, and take a second
Seeds = Sequence[str] | Sequence[Sequence[str]]


class FurtherOptions(TypedDict, total=False):
    """The options that are best given by name."""

    min_df: float
    use_maxsum: bool
    use_mmr: bool
    diversity: float
    nr_candidates: int
    vectorizer: Vectorizer | None
    highlight: bool
    seed_keywords: Seeds | None
    doc_embeddings: NDArray[Any] | None
    word_embeddings: NDArray[Any] | None
    threshold: float | None


class KeywordOptions(FurtherOptions, total=False):
    """The options of KeywordExtractor.extract_keywords, which explains them."""

    candidates: Collection[str] | None
    keyphrase_ngram_range: tuple[int, int]
    stop_words: str | Collection[str] | None
    top_n: int


def check_docs(docs: object) -> None:
    """Raises ModelkilnError unless it is a text, or a list or tuple of texts."""
    if not isinstance(docs, str):
        if not isinstance(docs, list | tuple):
            raise ModelkilnError(f"docs: expected a text or a list of texts, found {type(docs).__name__}")
        for index, doc in enumerate(docs):
            if not isinstance(doc, str):
                raise ModelkilnError(f"docs[{index}]: expected text, found {type(doc).__name__}")


def check_choice(top_n: object, diversity: object, nr_candidates: object, is_maxsum: bool) -> None:
    """Raises ModelkilnError where an option of how to choose among the candidates means nothing."""
    if not isinstance(top_n, Integral) or top_n < 1:
        raise ModelkilnError(f"top_n must be a whole number of at least 1, found {top_n!r}")
    if not isinstance(diversity, Real) or not 0 <= float(diversity) <= 1:
        raise ModelkilnError(f"diversity must be from 0 to 1, found {diversity!r}")
    if is_maxsum and not (isinstance(nr_candidates, Integral) and nr_candidates >= top_n):
        raise ModelkilnError(f"nr_candidates must be at least top_n ({top_n}), found {nr_candidates!r}")
    if is_maxsum and math.comb(cast("int", nr_candidates), cast("int", top_n)) > MOST_CHOICES:
        raise ModelkilnError(
            f"use_maxsum compares all choices of {top_n} among {nr_candidates} candidates, and there are more than "
            f"{MOST_CHOICES:,}; take fewer nr_candidates (KeyBERT advises 20 or less), or use_mmr"
        )


def check_candidates(candidates: object) -> None:
    """Raises ModelkilnError unless it is None or a collection of texts."""
    if candidates is not None and not _are_words(candidates):
        raise ModelkilnError(f"candidates: expected a list of phrases, found {candidates!r}")


def seeds_of_documents(seeds: Seeds | None, documents: int) -> list[tuple[str, ...]]:
    """The seed words of each document; an empty list where there are none at all.

    Raises:
        ModelkilnError: neither a list of words nor one for each document.
    """
    if seeds is None:
        return []
    if _are_words(seeds) and len(seeds) > 0:
        return [tuple(str(seed) for seed in seeds)] * documents
    is_list = isinstance(seeds, list | tuple) and len(seeds) > 0
    if not is_list or not all(_are_words(words) and len(words) > 0 for words in seeds):
        raise ModelkilnError(f"seed_keywords: expected a list of words, or one for each document, found {seeds!r}")
    if len(seeds) != documents:
        raise ModelkilnError(f"seed_keywords: {len(seeds)} lists for {documents} documents; one list for each, please")
    return [tuple(words) for words in seeds]


def given_vectors(
    name: str, vectors: object, rows: int, of_what: str, wanted: Sequence[int]
) -> NDArray[np.float32] | None:
    """The wanted rows of vectors that the caller has, as float32 (len(wanted), dimension); None where he has none.

    Raises:
        ModelkilnError: another number of rows, or something that is no finite number.
    """
    if vectors is None:
        return None
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ModelkilnError(f"{name}: expected an array of numbers, found {type(vectors).__name__}") from error
    if found.ndim != 2 or len(found) != rows:
        raise ModelkilnError(
            f"{name}: expected {rows} rows, one for each {of_what}, found shape {found.shape}; take it from "
            "extract_embeddings with the same documents, candidates, n-grams, stop words, min_df and vectorizer"
        )
    if not np.isfinite(found).all():
        raise ModelkilnError(f"{name}: expected finite numbers, found {found[~np.isfinite(found)][0]}")
    return np.asarray(found[list(wanted)])


def _are_words(words: object) -> bool:
    is_list = isinstance(words, Collection) and not isinstance(words, str | bytes)
    return is_list and all(isinstance(word, str) for word in cast("Collection[object]", words))
