"""Keywords are those of the real KeyBERT over sentence-transformers with the uncompiled model, in every option."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.keywords.extractor import KeywordExtractor
from modelkiln.parity import compare_keywords

TEXTS = [sample.text for sample in read_samples()]
SOME = [TEXTS[0], TEXTS[5], TEXTS[16], TEXTS[24]]  # English twice, German, Spanish
SPANISH = ["el", "la", "los", "las", "de", "que", "en", "un", "una", "se", "por", "con"]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"top_n": 1},
    {"top_n": 500},
    {"keyphrase_ngram_range": (1, 2)},
    {"keyphrase_ngram_range": (2, 3), "top_n": 8},
    {"stop_words": None},
    {"stop_words": SPANISH},
    {"min_df": 2},
    {"min_df": 0.5},
    {"use_mmr": True},
    {"use_mmr": True, "diversity": 0.0},
    {"use_mmr": True, "diversity": 0.9, "keyphrase_ngram_range": (1, 2), "top_n": 10},
    {"use_mmr": True, "use_maxsum": True},
    {"use_maxsum": True},
    {"use_maxsum": True, "nr_candidates": 10, "top_n": 4, "keyphrase_ngram_range": (1, 2)},
    {"candidates": ["ferry", "fog", "harbour", "passengers", "absent"]},
    {"candidates": ["ferry passengers", "coastguard"], "keyphrase_ngram_range": (1, 2)},
    {"seed_keywords": ["weather", "transport"]},
    {"seed_keywords": [["weather"], ["software", "outage"], ["Sport"], ["campo", "agua"]]},
    {"seed_keywords": ["crime"], "use_mmr": True, "diversity": 0.6},
    {"vectorizer": CountVectorizer(tokenizer=str.split, token_pattern=None), "use_mmr": True},
]


@pytest.fixture(scope="module", params=[pytest.param("real_artifact", marks=pytest.mark.heavy), "real_onnx_artifact"])
def extractor(request: pytest.FixtureRequest) -> KeywordExtractor:
    """Over TorchScript; and as `make repro` compiles it, with a compiled vocabulary."""
    found: KeywordExtractor = modelkiln.load(request.getfixturevalue(request.param))
    return found


@pytest.fixture(scope="module")
def keybert(real_source: Path) -> Any:
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(real_source), device="cpu")
    encode, known = model.encode, {}

    def encode_once(texts: list[str], **options: Any) -> Any:
        """The tests ask for the same few words again and again."""
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, encode(new, **options), strict=True))
        return np.stack([known[text] for text in texts])

    model.encode = encode_once  # type: ignore[method-assign]
    return KeyBERT(model)


def assert_same(found: Any, expected: Any) -> None:
    parity = compare_keywords(expected, found, 1e-4)
    assert not parity.failures
    assert parity.figures["max_score_difference"] <= 1e-4


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_list_of_documents_has_the_keywords_of_keybert(
    options: dict[str, Any], extractor: KeywordExtractor, keybert: Any
) -> None:
    assert_same(extractor.extract_keywords(SOME, **options), keybert.extract_keywords(SOME, **options))


@pytest.mark.parametrize("options", [option for option in OPTIONS if "min_df" not in option], ids=str)
def test_single_document_has_the_keywords_of_keybert(
    options: dict[str, Any], extractor: KeywordExtractor, keybert: Any
) -> None:
    if isinstance(options.get("seed_keywords", [""])[0], list):
        options = {**options, "seed_keywords": options["seed_keywords"][:1]}
    found = extractor.extract_keywords(SOME[0], **options)
    assert_same([found], [keybert.extract_keywords(SOME[0], **options)])


def test_golden_samples_have_the_keywords_of_keybert(extractor: KeywordExtractor, keybert: Any) -> None:
    assert_same(extractor.extract_keywords(TEXTS), keybert.extract_keywords(TEXTS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "the and of",
        "a b c",
        "🙂 🚀 🙂",
        "nul\0l by\0te word",
        "\ud800 lone surrogate text",
        "中文 新闻 报道",
        "é" * 2000,
    ],
    ids=ascii,
)
def test_hostile_document_has_the_keywords_of_keybert(text: str, extractor: KeywordExtractor, keybert: Any) -> None:
    expected = keybert.extract_keywords(text) if "\ud800" not in text else None
    found = extractor.extract_keywords(text)
    if expected is None:  # its tokenizer refuses lone surrogates with a TypeError
        assert {word for word, _ in found} == {"lone", "surrogate", "text"}
    else:
        assert_same([found], [expected])


def test_list_always_gives_a_list_of_lists(extractor: KeywordExtractor) -> None:
    assert extractor.extract_keywords([]) == []
    assert extractor.extract_keywords([""]) == [[]]
    assert extractor.extract_keywords(["the", "of and"]) == [[], []]
    (only,) = extractor.extract_keywords(["Harvest begins"])
    assert dict(only).keys() == {"harvest", "begins"}


def test_hundred_thousand_words_are_worked_through(extractor: KeywordExtractor, keybert: Any) -> None:
    words = sorted({word for text in TEXTS[:4] for word in text.split()})
    text = " ".join(words[i % len(words)] for i in range(100_000))
    assert_same([extractor.extract_keywords(text)], [keybert.extract_keywords(text)])


def test_threads_get_the_answers_of_one(extractor: KeywordExtractor) -> None:
    alone = [extractor.extract_keywords(text) for text in SOME]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(extractor.extract_keywords, SOME * 4)) == alone * 4


@pytest.mark.parametrize(
    ("docs", "options", "message"),
    [
        (b"bytes", {}, "docs: expected a text or a list of texts, found bytes"),
        (None, {}, "docs: expected a text or a list of texts, found NoneType"),
        (["fine", 3], {}, r"docs\[1\]: expected text, found int"),
        ("text", {"top_n": 0}, "top_n must be a whole number of at least 1"),
        ("text", {"diversity": 1.5}, "diversity must be from 0 to 1"),
        ("text", {"use_maxsum": True, "nr_candidates": 2}, r"nr_candidates must be at least top_n \(5\)"),
        ("text", {"stop_words": "german"}, "no list named 'german'; this artifact has: english"),
        ("text", {"keyphrase_ngram_range": (2, 1)}, "keyphrase_ngram_range"),
        ("text", {"seed_keywords": []}, "seed_keywords: expected a list of words"),
        ("text", {"seed_keywords": "rain"}, "seed_keywords: expected a list of words"),
        (["one", "two"], {"seed_keywords": [["a"]]}, "seed_keywords: 1 lists for 2 documents"),
        ("text", {"seed_keywords": ["rain", ["tram"]]}, "seed_keywords: expected a list of words"),
        ("text", {"candidates": "tram"}, "candidates: expected a list of phrases, found 'tram'"),
        ("text", {"keyphrase_ngram_range": (1.0, 2.0)}, "keyphrase_ngram_range: expected two numbers"),
        ("text", {"diversity": "0.5"}, "diversity must be from 0 to 1"),
        ("text", {"stop_words": 5}, "stop_words: expected a name, a list of words or None"),
        ("text", {"min_df": float("nan")}, "min_df: expected documents"),
    ],
)
def test_option_that_means_nothing_is_refused(
    docs: Any, options: dict[str, Any], message: str, extractor: KeywordExtractor
) -> None:
    with pytest.raises(ModelkilnError, match=message) as raised:
        extractor.extract_keywords(docs, **options)
    assert "\n" not in str(raised.value)


def test_mistyped_option_is_an_error(extractor: KeywordExtractor) -> None:
    with pytest.raises(TypeError, match="topn"):
        extractor.extract_keywords("text", topn=3)  # type: ignore[call-overload]
