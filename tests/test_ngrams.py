"""Candidates are those of scikit-learn's CountVectorizer, as KeyBERT uses it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.ngrams import find_candidates

TEXTS = [sample.text for sample in read_samples()]
# Words that stand in for each other in every way that matters: stop words, capitals, one letter, digits, no ASCII.
WORDS = st.sampled_from(
    ["tram", "Tram", "line", "the", "and", "a", "x1", "über", "ÜBER", "naïve", "2024", "'s", "-", "中文", "_", "İ"]
)
RANGES = st.tuples(st.integers(1, 3), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def of_sklearn(docs: list[str], **options: Any) -> tuple[list[str], list[list[int]]]:
    """What KeyBERT does; no candidates where CountVectorizer raises because there are none."""
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


@given(st.text(max_size=40))
def test_any_string_has_the_words_of_sklearn(doc: str) -> None:
    phrases, rows = of_sklearn([doc])
    found = find_candidates([doc], (1, 1), frozenset(), 1, None)
    assert (found.phrases, found.of_document) == (phrases, rows)


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
