"""The options that take more than a number: KeyBERT, over the same tiny model, gives the same with them."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.keywords.extractor import KeywordExtractor, KeywordOptions
from modelkiln.parity import compare_keywords

TEXTS = [read_samples()[index].text for index in (0, 5, 16, 24)]  # English twice, German, Spanish
DOCS = [TEXTS[0], "", TEXTS[1], "the and of", "tram", "Tram, tram! TRAM", TEXTS[2], "a trams' line 中文 新闻"]
VECTORIZERS: dict[str, dict[str, Any]] = {
    "n-grams": {"ngram_range": (1, 3), "stop_words": "english"},
    "own tokenizer": {"tokenizer": str.split, "token_pattern": None, "lowercase": False},
    "parts of words": {"analyzer": "char_wb", "ngram_range": (4, 5)},
    "own analyzer": {"analyzer": lambda text: text.split()[:5]},
    "limits": {"min_df": 2, "max_df": 0.9, "max_features": 12},
    "own vocabulary": {"vocabulary": {"tram": 1, "ferry": 0, "absent": 2, "fog": 3}},
}
# Vectors and phrases given for these, to be ranked in several ways.
RANKINGS: list[dict[str, Any]] = [{}, {"use_mmr": True, "top_n": 3}, {"use_maxsum": True, "top_n": 2}]


@pytest.fixture(scope="module")
def extractor(table_artifact: Path) -> KeywordExtractor:
    found: KeywordExtractor = modelkiln.load(table_artifact)
    return found


@pytest.fixture(scope="module")
def keybert(tiny_source: Path) -> Any:
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    return KeyBERT(SentenceTransformer(str(tiny_source), device="cpu"))


def assert_same(found: Any, expected: Any) -> None:
    parity = compare_keywords(expected, found, 1e-4)
    assert not parity.failures
    assert parity.figures["max_score_difference"] <= 1e-4


def test_options_and_their_order_are_those_of_keybert(keybert: Any) -> None:
    for name in ("extract_keywords", "extract_embeddings"):
        ours = inspect.signature(getattr(KeywordExtractor, name)).parameters.values()
        theirs = inspect.signature(getattr(type(keybert), name)).parameters.values()
        assert [(each.name, each.default) for each in ours] == [(each.name, each.default) for each in theirs]
    assert KeywordOptions.__annotations__.keys() == inspect.signature(keybert.extract_keywords).parameters.keys() - {
        "docs"
    }


def test_options_can_be_given_by_position(extractor: KeywordExtractor, keybert: Any) -> None:
    given = (["ferry passengers", "fog"], (1, 2), None, 1, 1, False, True, 0.2)
    assert_same([extractor.extract_keywords(TEXTS[0], *given)], [keybert.extract_keywords(TEXTS[0], *given)])


@pytest.mark.parametrize("ranking", RANKINGS, ids=str)
@pytest.mark.parametrize("name", VECTORIZERS)
def test_vectorizer_finds_what_it_finds_for_keybert(
    name: str, ranking: dict[str, Any], extractor: KeywordExtractor, keybert: Any
) -> None:
    ours, theirs = CountVectorizer(**VECTORIZERS[name]), CountVectorizer(**VECTORIZERS[name])
    # A part of a document that is one word can be as near to it as that word is: all are equally good for MMR then.
    docs = [doc for doc in DOCS if doc != "tram"]
    expected = keybert.extract_keywords(docs, vectorizer=theirs, **ranking)
    assert sum(map(len, expected)) > 1
    assert_same(extractor.extract_keywords(docs, vectorizer=ours, **ranking), expected)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())  # it stays fitted
    if name != "limits":
        expected = keybert.extract_keywords(TEXTS[0], vectorizer=theirs, **ranking)
        assert_same([extractor.extract_keywords(TEXTS[0], vectorizer=ours, **ranking)], [expected])


def test_vectorizer_may_weigh_the_phrases(extractor: KeywordExtractor, keybert: Any) -> None:
    found = extractor.extract_keywords(DOCS, vectorizer=TfidfVectorizer())
    assert_same(found, keybert.extract_keywords(DOCS, vectorizer=TfidfVectorizer()))


def test_vectorizer_outdoes_the_other_ways_to_find_phrases(extractor: KeywordExtractor, keybert: Any) -> None:
    others: dict[str, Any] = {
        "candidates": ["fog"],
        "keyphrase_ngram_range": (3, 1),
        "stop_words": "klingon",
        "min_df": -1,
    }
    found = extractor.extract_keywords(TEXTS, vectorizer=CountVectorizer(), **others)
    assert_same(found, keybert.extract_keywords(TEXTS, vectorizer=CountVectorizer(), **others))


def test_empty_text_is_no_question_for_a_vectorizer(extractor: KeywordExtractor, keybert: Any) -> None:
    assert extractor.extract_keywords("", vectorizer=CountVectorizer()) == []
    assert keybert.extract_keywords("", vectorizer=CountVectorizer()) == []


def test_threads_may_share_a_vectorizer(extractor: KeywordExtractor) -> None:
    shared = CountVectorizer(ngram_range=(1, 2))
    alone = [extractor.extract_keywords(text, vectorizer=CountVectorizer(ngram_range=(1, 2))) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: extractor.extract_keywords(text, vectorizer=shared), TEXTS * 10))
    assert_same(found, alone * 10)


@pytest.mark.parametrize(
    ("vectorizer", "docs", "message"),
    [
        ("english", ["tram"], "expected an object with fit, transform and get_feature_names_out.* found 'english'"),
        (CountVectorizer, ["tram"], "expected an object with fit.* found <class"),
        (HashingVectorizer(), ["tram"], "expected an object with fit, transform and get_feature_names_out"),
        (CountVectorizer(), ["", ". a"], "CountVectorizer.fit: empty vocabulary"),
        (CountVectorizer(ngram_range=(2, 1)), ["tram"], "CountVectorizer.fit: Invalid value"),
        (CountVectorizer(analyzer=lambda text: [3]), ["tram"], "expected phrases that are text, found 3"),
    ],
)
def test_vectorizer_that_is_none_is_refused(
    vectorizer: Any, docs: list[str], message: str, extractor: KeywordExtractor
) -> None:
    for extract in (extractor.extract_keywords, extractor.extract_embeddings):
        with pytest.raises(ModelkilnError, match=message) as raised:
            extract(docs, vectorizer=vectorizer)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keyphrase_ngram_range": (1, 2), "stop_words": None, "min_df": 2},
        {"candidates": ["tram", "absent", "fog"]},
        pytest.param({"candidates": {"tram", "absent", "fog"}}, id="a set of candidates"),
        {"vectorizer": CountVectorizer(analyzer="char_wb", ngram_range=(4, 4))},
    ],
    ids=str,
)
def test_embeddings_are_those_of_keybert_and_can_be_passed_back(
    options: dict[str, Any], extractor: KeywordExtractor, keybert: Any
) -> None:
    ours, theirs = extractor.extract_embeddings(DOCS, **options), keybert.extract_embeddings(DOCS, **options)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    for ranking in ({}, {"use_mmr": True, "seed_keywords": ["weather"]}):
        given = {**options, **ranking}
        expected = keybert.extract_keywords(DOCS, **given)
        for documents, words in (ours, theirs, (ours[0], None), (None, ours[1])):
            found = extractor.extract_keywords(DOCS, doc_embeddings=documents, word_embeddings=words, **given)
            assert_same(found, expected)
        assert_same(keybert.extract_keywords(DOCS, doc_embeddings=ours[0], word_embeddings=ours[1], **given), expected)


def test_given_vectors_are_used_as_keybert_uses_them(extractor: KeywordExtractor, keybert: Any) -> None:
    """Vectors of another model, with dimensions of its own."""
    _, words = extractor.extract_embeddings(TEXTS)
    rng = np.random.default_rng(0)
    given = {"doc_embeddings": rng.normal(size=(4, 7)), "word_embeddings": rng.normal(size=(len(words), 7))}
    assert_same(extractor.extract_keywords(TEXTS, **given), keybert.extract_keywords(TEXTS, **given))
    swapped = {"doc_embeddings": extractor.extract_embeddings(TEXTS[::-1])[0]}
    assert_same(extractor.extract_keywords(TEXTS, **swapped), keybert.extract_keywords(TEXTS, **swapped))


@pytest.mark.parametrize("docs", ["", "the of", [], ["", "the"]], ids=str)
def test_embeddings_without_a_phrase_can_be_passed_back(docs: Any, extractor: KeywordExtractor, keybert: Any) -> None:
    documents, words = extractor.extract_embeddings(docs)
    assert documents.shape == (1 if isinstance(docs, str) else len(docs), 32)
    assert words.shape == (0, 32)
    keywords = extractor.extract_keywords(docs, doc_embeddings=documents, word_embeddings=words)
    assert keywords == ([] if isinstance(docs, str) else [[] for _ in docs])
    assert keybert.extract_embeddings(docs) == []  # nothing to unpack, let alone to pass back


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"doc_embeddings": np.zeros((3, 32))}, r"doc_embeddings: expected 1 rows.*document, found shape \(3, 32\)"),
        ({"doc_embeddings": np.zeros(32)}, r"doc_embeddings: expected 1 rows.*found shape \(32,\)"),
        ({"word_embeddings": np.zeros((3, 32))}, r"word_embeddings: expected 2 rows.*phrase, found shape \(3, 32\)"),
        ({"word_embeddings": "vectors"}, "word_embeddings: expected an array of numbers, found str"),
        ({"word_embeddings": np.full((2, 32), np.nan)}, "word_embeddings: expected finite numbers, found nan"),
        ({"word_embeddings": np.zeros((2, 7))}, "of 32 dimensions for documents and of 7 for phrases"),
        ({"doc_embeddings": np.zeros((1, 7))}, "of 7 dimensions for documents and of 32 for phrases"),
        (
            {
                "doc_embeddings": np.zeros((1, 7)),
                "word_embeddings": np.zeros((2, 7)),
                "seed_keywords": ["rain"],
            },
            "where this model's have 32",
        ),
    ],
)
def test_given_vectors_that_do_not_fit_are_refused(
    given: dict[str, Any], message: str, extractor: KeywordExtractor
) -> None:
    with pytest.raises(ModelkilnError, match=message) as raised:
        extractor.extract_keywords("tram line", **given)
    assert "\n" not in str(raised.value)


def test_threshold_changes_nothing(extractor: KeywordExtractor, keybert: Any) -> None:
    assert extractor.extract_keywords(TEXTS, threshold=0.9) == extractor.extract_keywords(TEXTS)
    assert keybert.extract_keywords(TEXTS, threshold=0.9) == keybert.extract_keywords(TEXTS)


@pytest.mark.parametrize("seeds", [None, ["weather", "rain"], [["rain"]] * 3 + [["weather", "sea"]] * 5], ids=str)
@pytest.mark.parametrize("ranking", [*RANKINGS, {"top_n": 999}, {"use_mmr": True, "top_n": 999, "diversity": 1}])
@pytest.mark.parametrize("found_by", [{}, {"min_df": 0.25}, {"candidates": ("fog", "tram"), "min_df": 3}], ids=str)
def test_documents_with_few_or_no_phrases_have_the_keywords_of_keybert(
    found_by: dict[str, Any], ranking: dict[str, Any], seeds: Any, extractor: KeywordExtractor, keybert: Any
) -> None:
    options = {**found_by, **ranking, "seed_keywords": seeds}
    assert_same(extractor.extract_keywords(DOCS, **options), keybert.extract_keywords(DOCS, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": np.array(["fog", "tram"]), "seed_keywords": np.array(["rain", "sea"])},
        {"min_df": np.float64(0.5)},
        {"min_df": np.int64(2), "top_n": np.int64(3), "use_mmr": True, "diversity": np.float64(0.3)},
    ],
    ids=str,
)
def test_options_may_come_from_numpy(options: dict[str, Any], extractor: KeywordExtractor, keybert: Any) -> None:
    assert_same(extractor.extract_keywords(TEXTS, **options), keybert.extract_keywords(TEXTS, **options))


@pytest.mark.parametrize("nothing", [[], (), set()])
def test_no_candidates_are_no_keywords(nothing: Any, extractor: KeywordExtractor, keybert: Any) -> None:
    assert extractor.extract_keywords("tram", candidates=nothing) == []
    assert keybert.extract_keywords("tram", candidates=nothing) == []


@pytest.mark.parametrize("number", [25, 10**9])
def test_max_sum_of_more_choices_than_anybody_waits_for_is_refused(number: int, extractor: KeywordExtractor) -> None:
    with pytest.raises(ModelkilnError, match=r"more than 5,000,000; take fewer nr_candidates .* or use_mmr"):
        extractor.extract_keywords(TEXTS[0], use_maxsum=True, top_n=25, nr_candidates=max(60, number))
    assert extractor.extract_keywords(TEXTS[0], use_maxsum=True, top_n=np.int64(3), nr_candidates=20)


@pytest.mark.parametrize("threads", [0, -1, 100_000, 1.5, "2"])
def test_threads_that_no_machine_has_are_refused(threads: Any, table_artifact: Path) -> None:
    with pytest.raises(ModelkilnError, match="threads must be a whole number from 1 to 1024, found"):
        modelkiln.load(table_artifact, threads=threads)
