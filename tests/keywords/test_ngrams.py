"""Candidates are those of scikit-learn's CountVectorizer, as KeyBERT uses it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.keywords.ngrams import ask_vectorizer, find_candidates

TEXTS = [sample.text for sample in read_samples()]
# Words that stand in for each other in every way that matters: stop words, capitals, one letter, digits, no ASCII.
WORDS = st.sampled_from(
    ["tram", "Tram", "line", "the", "and", "a", "x1", "über", "ÜBER", "naïve", "2024", "'s", "-", "中文", "_", "İ"]
)
RANGES = st.tuples(st.integers(1, 3), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))
# What a tokenizer could stumble over: marks, signs and letters of any script, and a few that decide where words end.
CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\u00a0'-_.aAbB1ßİ\u017f\u0301\u200d")
)
DOCUMENTS = st.lists(st.text(CHARACTERS, max_size=30), min_size=1, max_size=4)


def of_sklearn(docs: list[str], **options: Any) -> tuple[list[str], list[list[int]]]:
    """What KeyBERT does; no candidates where CountVectorizer raises because there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of candidates and stop words that can't be found
        try:
            vectorizer = CountVectorizer(**options).fit(docs)
        except ValueError:
            return [], [[] for _ in docs]
    counts = vectorizer.transform(docs)
    return list(vectorizer.get_feature_names_out()), [counts[i].nonzero()[1].tolist() for i in range(len(docs))]


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (2, 2), (1, 3), (3, 3)])
@pytest.mark.parametrize("stop_words", ["english", None, ["tram", "die", "der"]])
@pytest.mark.parametrize("min_df", [1, 2, 0.1])
def test_golden_texts_have_the_candidates_of_sklearn(ngram_range: Any, stop_words: Any, min_df: Any) -> None:
    phrases, rows = of_sklearn(TEXTS, ngram_range=ngram_range, stop_words=stop_words, min_df=min_df)
    stop = ENGLISH_STOP_WORDS if stop_words == "english" else frozenset(stop_words or ())
    found = find_candidates(TEXTS, ngram_range, stop, min_df, None)
    assert found.phrases == phrases
    assert found.of_document == rows


@settings(max_examples=300)
@given(
    st.lists(st.lists(WORDS, max_size=8).map(" ".join), min_size=1, max_size=4),
    RANGES,
    st.one_of(st.integers(1, 3), st.floats(0.1, 1)),
)
def test_any_text_has_the_candidates_of_sklearn(docs: list[str], ngram_range: tuple[int, int], min_df: float) -> None:
    phrases, rows = of_sklearn(docs, ngram_range=ngram_range, stop_words="english", min_df=min_df)
    found = find_candidates(docs, ngram_range, ENGLISH_STOP_WORDS, min_df, None)
    assert (found.phrases, found.of_document) == (phrases, rows)


@settings(max_examples=300)
@given(DOCUMENTS, RANGES, st.one_of(st.integers(1, 3), st.floats(0, 1)), st.lists(st.text(CHARACTERS, max_size=3)))
def test_any_characters_have_the_candidates_of_sklearn(
    docs: list[str], ngram_range: tuple[int, int], min_df: float, stop_words: list[str]
) -> None:
    phrases, rows = of_sklearn(docs, ngram_range=ngram_range, min_df=min_df, stop_words=stop_words)
    found = find_candidates(docs, ngram_range, frozenset(stop_words), min_df, None)
    assert (found.phrases, found.of_document) == (phrases, rows)


@settings(max_examples=300)
@given(DOCUMENTS, RANGES, st.data())
def test_any_given_candidates_are_found_as_sklearn_finds_them(
    docs: list[str], ngram_range: tuple[int, int], data: Any
) -> None:
    own = find_candidates(docs, (1, 3), frozenset(), 1, None).phrases
    phrase = st.one_of(st.text(CHARACTERS, max_size=4), *([st.sampled_from(own)] if own else []))
    candidates = data.draw(st.one_of(st.lists(phrase, unique=True), st.sets(phrase)))
    phrases, rows = of_sklearn(docs, ngram_range=ngram_range, vocabulary=candidates)
    found = find_candidates(docs, ngram_range, frozenset(), 1, candidates)
    assert (found.phrases, found.of_document) == (phrases, rows)


@given(DOCUMENTS, RANGES)
def test_vectorizer_finds_what_is_found_without_it(docs: list[str], ngram_range: tuple[int, int]) -> None:
    expected = find_candidates(docs, ngram_range, frozenset(), 1, None)
    if expected.phrases:
        assert ask_vectorizer(docs, CountVectorizer(ngram_range=ngram_range)) == expected


def test_phrase_that_weighs_nothing_is_no_candidate() -> None:
    """A matrix may hold zeros, and be of either of scipy's kinds or of none."""

    class Weighing:
        def __init__(self, form: Any) -> None:
            self.form = form

        def fit(self, docs: list[str]) -> Weighing:
            return self

        def transform(self, docs: list[str]) -> Any:
            held = csr_matrix(np.array([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0]]))
            held.data[0] = 0
            return self.form(held)

        def get_feature_names_out(self) -> Any:
            return np.array(["fog", "tram", "rain"], dtype=object)

    for form in (csr_matrix, csr_array, csc_matrix, csr_matrix.toarray):
        found = ask_vectorizer(["one", "two"], Weighing(form))
        assert (found.phrases, found.of_document) == (["fog", "tram", "rain"], [[1], [0, 2]])


@pytest.mark.parametrize("candidates", [["line", "tram line", "absent", "the", "Tram"], {"tram", "line"}, []])
def test_given_candidates_are_found_as_sklearn_finds_them(candidates: Any) -> None:
    docs = ["The tram line opens.", "No line at all; the tram is late.", ""]
    options = {"ngram_range": (1, 2), "stop_words": "english", "vocabulary": candidates}
    phrases, rows = of_sklearn(docs, **options)
    found = find_candidates(docs, (1, 2), ENGLISH_STOP_WORDS, 5, candidates)
    assert (found.phrases, found.of_document) == (phrases, rows)


def test_candidate_named_twice_counts_once() -> None:
    """CountVectorizer refuses it, and KeyBERT then gives no keywords at all."""
    assert find_candidates(["tram"], (1, 1), frozenset(), 1, ["tram", "tram"]).phrases == ["tram"]


@pytest.mark.parametrize("ngram_range", [(2, 1), (0, 1), (1,), "ab", None, (1, 2, 3)])
def test_range_that_means_nothing_is_refused(ngram_range: Any) -> None:
    with pytest.raises(ModelkilnError, match="keyphrase_ngram_range: expected two numbers"):
        find_candidates(["text"], ngram_range, frozenset(), 1, None)


@pytest.mark.parametrize("min_df", [0, -1, 1.5, -0.1, True, "2"])
def test_min_df_that_means_nothing_is_refused(min_df: Any) -> None:
    with pytest.raises(ModelkilnError, match="min_df: expected"):
        find_candidates(["text"], (1, 1), frozenset(), min_df, None)
