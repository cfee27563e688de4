"""Documents -> candidate phrases, as scikit-learn's CountVectorizer finds them for KeyBERT, without scikit-learn.

Source: scikit-learn 1.9, sklearn.feature_extraction.text.CountVectorizer with its defaults (lower-cased, words of two
or more word characters, stop words taken out before phrases are made). tests/keywords/test_ngrams.py compares them.
A vectorizer of the caller's own is asked instead where there is one.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from modelkiln.errors import ModelkilnError, one_line

WORD = re.compile(r"(?u)\b\w\w+\b")
# A vectorizer answers for the documents it was fitted to last, and threads may share one. Its tokenizer may call us.
_FITTING = threading.RLock()


class Vectorizer(Protocol):
    """What finds phrases in documents: scikit-learn's CountVectorizer, or whatever is used as one."""

    def fit(self, docs: Any, /) -> Any:
        """Learns the phrases of the documents; returns a vectorizer, as a rule itself."""

    def transform(self, docs: Any, /) -> Any:
        """A sparse matrix (documents, phrases); other than zero: the phrase is in the document."""

    def get_feature_names_out(self) -> Any:
        """The phrases, in the order of the columns."""


@dataclass(frozen=True)
class Candidates:
    """The phrases of some documents."""

    phrases: list[str]  # each once; in alphabetical order, or in the order of the given vocabulary
    of_document: list[list[int]]  # for each document the indices of its phrases, ascending


def find_candidates(
    docs: Sequence[str],
    ngram_range: tuple[int, int],
    stop_words: frozenset[str],
    min_df: float,
    vocabulary: Iterable[str] | None,
) -> Candidates:
    """The candidate phrases of the documents.

    Args:
        docs: The documents.
        ngram_range: The least and the most words in a phrase.
        stop_words: Words that are taken out, in lower case.
        min_df: The least number of documents that a phrase must be in; a float: the least share of them.
        vocabulary: Only these phrases, as they stand after lower-casing the documents; None: all. A phrase that is
            there twice counts once, and min_df does not apply.

    Raises:
        ModelkilnError: an n-gram range or a min_df that means nothing.
    """
    _check(ngram_range, min_df)
    found = [set(_phrases(doc, ngram_range, stop_words)) for doc in docs]
    if vocabulary is None:
        least = min_df * len(docs) if isinstance(min_df, float) else min_df
        documents = Counter(phrase for phrases in found for phrase in phrases)
        phrases = sorted(phrase for phrase, count in documents.items() if count >= least)
    else:
        phrases = list(dict.fromkeys(sorted(vocabulary) if isinstance(vocabulary, Set) else vocabulary))
    index = {phrase: position for position, phrase in enumerate(phrases)}
    return Candidates(phrases, [sorted(index[phrase] for phrase in each if phrase in index) for each in found])


def ask_vectorizer(docs: Sequence[str], vectorizer: Vectorizer) -> Candidates:
    """The candidate phrases of the documents that a vectorizer finds once it is fitted to them, which it then stays.

    Safe to use from several threads with the same vectorizer: they take turns.

    Raises:
        ModelkilnError: it is no vectorizer, or finds nothing in these documents, or something that is not text.
    """
    missing = [name for name in ("fit", "transform", "get_feature_names_out") if not hasattr(vectorizer, name)]
    if missing or isinstance(vectorizer, type):
        raise ModelkilnError(
            "vectorizer: expected an object with fit, transform and get_feature_names_out, as CountVectorizer has, "
            f"found {one_line(repr(vectorizer))}"
        )
    with _FITTING:
        try:
            fitted = vectorizer.fit(list(docs))
        except ValueError as error:  # CountVectorizer's way to say that no phrase is left, or that an option is wrong
            raise ModelkilnError(f"vectorizer: {type(vectorizer).__name__}.fit: {one_line(error)}") from error
        phrases = list(fitted.get_feature_names_out())
        counts = fitted.transform(list(docs))
    strange = [phrase for phrase in phrases if not isinstance(phrase, str)]
    if strange:
        raise ModelkilnError(f"vectorizer: expected phrases that are text, found {strange[0]!r}")
    return Candidates(phrases, [counts[index].nonzero()[-1].tolist() for index in range(len(docs))])


def _phrases(doc: str, ngram_range: tuple[int, int], stop_words: frozenset[str]) -> list[str]:
    words = [word for word in WORD.findall(doc.lower()) if word not in stop_words]
    least, most = ngram_range
    sizes = range(least, min(most, len(words)) + 1)
    return [" ".join(words[i : i + size]) for size in sizes for i in range(len(words) - size + 1)]


def _check(ngram_range: object, min_df: object) -> None:
    sizes = ngram_range if isinstance(ngram_range, tuple | list) else ()
    if len(sizes) != 2 or not all(isinstance(size, Integral) for size in sizes) or not 1 <= sizes[0] <= sizes[1]:
        raise ModelkilnError(f"keyphrase_ngram_range: expected two numbers such as (1, 2), found {ngram_range!r}")
    documents = not isinstance(min_df, bool) and isinstance(min_df, Integral) and int(min_df) >= 1
    if not documents and not (isinstance(min_df, float) and 0 <= min_df <= 1):
        raise ModelkilnError(f"min_df: expected documents (1 or more) or a share (0.0 to 1.0), found {min_df!r}")
