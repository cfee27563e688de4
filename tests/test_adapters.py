"""A compiled encoder stands in for sentence-transformers' own model, in KeyBERT and by itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modelkiln
from modelkiln import ModelkilnError, adapters
from modelkiln.adapters import SentenceEncoder, encoder_of, keybert_backend
from modelkiln.golden import read_samples
from modelkiln.keywords.extractor import KeywordExtractor
from modelkiln.parity import compare_keywords

TEXTS = [sample.text for sample in read_samples()][:6]
SOME = ["The tram line opens.", "", "  fog  ", "Zürich 中文 🙂", "tram " * 300, "fog", *TEXTS]


@pytest.fixture(scope="module")
def extractor(table_artifact: Path) -> KeywordExtractor:
    found: KeywordExtractor = modelkiln.load(table_artifact)
    return found


@pytest.fixture(scope="module")
def ours(extractor: KeywordExtractor) -> SentenceEncoder:
    return SentenceEncoder(extractor)


@pytest.fixture(scope="module")
def theirs(tiny_source: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny_source), device="cpu")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keyphrase_ngram_range": (1, 2), "top_n": 10},
        {"use_mmr": True, "seed_keywords": ["weather"]},
        {"candidates": ["fog", "tram line"], "keyphrase_ngram_range": (1, 2)},
    ],
    ids=str,
)
def test_keybert_with_the_compiled_encoder_finds_the_same(
    options: dict[str, Any], extractor: KeywordExtractor, theirs: Any
) -> None:
    from keybert import KeyBERT

    expected = KeyBERT(model=theirs).extract_keywords(TEXTS, **options)
    for predictor in (extractor, extractor.document):
        found = KeyBERT(model=keybert_backend(predictor)).extract_keywords(TEXTS, **options)
        assert not compare_keywords(expected, found, 1e-4).failures


def test_backend_embeds_through_the_compiled_vocabulary(extractor: KeywordExtractor) -> None:
    table = extractor.word.vocabulary
    word = next(iter(table._row))
    try:
        extractor.word.vocabulary = type(table)([word], np.full((1, 32), 7, np.float32))
        found = keybert_backend(extractor).embed(np.array([word, "no such word"], dtype=object))
    finally:
        extractor.word.vocabulary = table
    assert (found[0] == 7).all()
    assert (found[1] != 7).all()


def test_backend_says_how_far_it_is(extractor: KeywordExtractor, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelkiln.progress.SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(adapters, "AT_ONCE", 4)
    backend = keybert_backend(extractor)
    np.testing.assert_allclose(backend.embed(SOME, verbose=True), backend.embed(SOME), atol=1e-6)
    assert "encoding, 4 texts at a time: 2 of 3 done" in capsys.readouterr().err


def test_encode_takes_the_options_of_sentence_transformers_in_its_order(theirs: Any) -> None:
    found = list(inspect.signature(SentenceEncoder.encode).parameters.values())[2:]
    expected = list(inspect.signature(type(theirs).encode).parameters.values())[2:]
    assert [(each.name, each.default) for each in found] == [
        (each.name, each.default) for each in expected if each.name not in ("pool", "chunk_size", "kwargs")
    ]


@pytest.mark.parametrize(
    "sentences",
    ["The tram line.", np.str_("fog"), SOME, tuple(SOME), SOME[:1], np.array(SOME), np.array(SOME, object), []],
    ids=lambda value: f"{type(value).__name__}-{len(value)}",
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"normalize_embeddings": True, "truncate_dim": 5, "batch_size": 2, "show_progress_bar": False, "device": "cpu"},
        {"precision": None, "convert_to_numpy": False, "convert_to_tensor": True, "device": torch.device("cpu")},
    ],
    ids=str,
)
def test_encode_gives_what_sentence_transformers_gives(
    sentences: Any, options: dict[str, Any], ours: SentenceEncoder, theirs: Any
) -> None:
    found, expected = ours.encode(sentences, **options), theirs.encode(sentences, **options)
    assert type(found) is type(expected)
    assert len(found) == len(expected)
    if isinstance(expected, list):
        assert {type(each) for each in found} == {type(each) for each in expected}
        found, expected = [each.numpy() for each in found], [each.numpy() for each in expected]
    else:
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_vectors_are_made_one_long_where_the_model_leaves_them(table_artifact: Path) -> None:
    encoder = modelkiln.load(table_artifact).document
    run = encoder._run
    encoder._run = lambda *inputs: run(*inputs) * 3
    np.testing.assert_allclose(np.linalg.norm(SentenceEncoder(encoder).encode(TEXTS), axis=1), 3, rtol=1e-6)
    vectors = SentenceEncoder(encoder).encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_encoder_says_its_size_as_sentence_transformers_does(ours: SentenceEncoder, theirs: Any) -> None:
    assert ours.get_embedding_dimension() == ours.get_sentence_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.max_seq_length == theirs.max_seq_length


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_value": "token_embeddings"}, "output_value='token_embeddings': a compiled encoder can only do"),
        ({"output_value": None}, "output_value=None"),
        ({"precision": "int8"}, "precision='int8': a compiled encoder can only do 'float32' or None"),
        ({"device": "cuda:0"}, "device='cuda:0': a compiled encoder can only do None or 'cpu'"),
        ({"device": ["cpu", "cpu"]}, r"device=\"\['cpu', 'cpu'\]\""),
        ({"prompt": "query: "}, "prompt='query: ': a compiled encoder can only do None"),
        ({"prompt_name": "query"}, "prompt_name='query'"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"truncate_dim": 0}, "truncate_dim must be at least 1, found 0"),
    ],
)
def test_option_that_a_graph_can_not_honour_is_refused(
    options: dict[str, Any], message: str, ours: SentenceEncoder
) -> None:
    with pytest.raises(ModelkilnError, match=message) as raised:
        ours.encode(["tram"], **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "sentences",
    [None, b"tram", 3, ["tram", 3], [("tram", "line")], pytest.param(iter(["tram"]), id="an iterator")],
    ids=str,
)
def test_what_is_not_text_is_refused(sentences: Any, ours: SentenceEncoder) -> None:
    with pytest.raises(ModelkilnError, match="expected"):
        ours.encode(sentences)


def test_documents_are_not_cut_off_for_the_vocabulary(extractor: KeywordExtractor, table_artifact: Path) -> None:
    assert encoder_of(extractor) is extractor.word
    short = modelkiln.load(table_artifact)
    short.word.spec = replace(short.word.spec, max_length=10)
    assert encoder_of(short) is short.document
    assert encoder_of(short.word) is short.word
    with pytest.raises(ModelkilnError, match=r"expected what modelkiln.load gives, or an encoder of it, found str"):
        encoder_of("artifacts/compiled")  # type: ignore[arg-type]


def test_neither_keybert_nor_torch_is_needed_until_it_is_asked_for(table_artifact: Path) -> None:
    program = f"""
import sys
sys.modules.update(dict.fromkeys(["torch", "keybert", "sklearn", "sentence_transformers"]))
import modelkiln
from modelkiln.adapters import SentenceEncoder, keybert_backend
extractor = modelkiln.load({str(table_artifact)!r})
print(SentenceEncoder(extractor).encode(["tram"]).shape)
for fails in (
    lambda: keybert_backend(extractor),
    lambda: SentenceEncoder(extractor).encode(["tram"], convert_to_tensor=True),
):
    try:
        fails()
    except modelkiln.ModelkilnError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    shape, backend, tensor = done.stdout.splitlines()
    assert shape == "(1, 32)"
    assert backend.startswith("keybert_backend needs KeyBERT: pip install keybert (")
    assert tensor.startswith("tensors need torch: pip install 'modelkiln[generic]' (")
