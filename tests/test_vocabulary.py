"""A compiled vocabulary changes no answer, and one that does not belong to its graph is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compiling import compile_here
from tokenizers import ByteLevelBPETokenizer, SentencePieceBPETokenizer

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest, seal
from modelkiln.golden import read_samples
from modelkiln.vocabulary import FOLDER, VECTORS, WORDS, own_words, read_vocabulary, whole_words

TEXTS = [sample.text for sample in read_samples()]


def test_table_holds_what_the_graph_gives(table_artifact: Path) -> None:
    """The words alone, and in other company than the one they were compiled in."""
    word = modelkiln.load(table_artifact).word
    table, words = word.vocabulary, json.loads((table_artifact / FOLDER / WORDS).read_text())["words"]
    assert len(table) == len(words) > 100
    looked_up = word.encode(words)
    word.vocabulary = None
    np.testing.assert_allclose(word.encode(words[::-1])[::-1], looked_up, atol=1e-5)
    np.testing.assert_allclose([word.encode([each])[0] for each in words[:50]], looked_up[:50], atol=1e-5)


def test_keywords_are_the_same_without_the_table(table_artifact: Path) -> None:
    extractor = modelkiln.load(table_artifact)
    with_table = extractor.extract_keywords(TEXTS, top_n=20)
    assert extractor.word.vocabulary.fill(
        ["the", "\0"], np.zeros((2, extractor.word.dimension), np.float32), [0, 1]
    ) == [1]
    extractor.word.vocabulary = None
    for found, expected in zip(with_table, extractor.extract_keywords(TEXTS, top_n=20), strict=True):
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert {word for word, _ in found} == {word for word, _ in expected}


def test_whole_words_of_every_kind_of_tokenizer() -> None:
    texts = ["the tram opened and the tram closed, the Tram!"] * 50
    bpe, piece = ByteLevelBPETokenizer(), SentencePieceBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=400, show_progress=False)
    piece.train_from_iterator(texts, vocab_size=400, show_progress=False)
    for tokenizer in (bpe._tokenizer, piece._tokenizer):
        assert {"tram", "the", "opened"} <= set(whole_words(tokenizer))
        assert all(word == word.lower() and " " not in word for word in whole_words(tokenizer))


def test_continuations_and_punctuation_are_no_words(tiny_artifact: Path) -> None:
    words = whole_words(modelkiln.load(tiny_artifact).word._tokenizer)
    assert len(words) > 100
    assert not any("#" in word or word.startswith("[") or len(word) < 2 for word in words)


def test_own_list_is_taken_as_candidates_have_it(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# a list\nTram\n  new   tram-line # two\n\nÉcluse\ntram\n", "utf-8")
    assert own_words(tmp_path / "words.txt") == ["new tram line", "tram", "écluse"]


def test_corpus_gives_its_words_the_most_frequent_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in ("A tram stop", "the Tram stopped", "stop"))
    )
    assert own_words(corpus) == ["stop", "stopped", "the", "tram"]
    monkeypatch.setattr("modelkiln.vocabulary.MOST", 2)
    assert own_words(corpus) == ["stop", "tram"]


@pytest.mark.parametrize("line", ["no json", "[]", '{"id": 1}', '{"text": 5}'])
def test_corpus_with_another_line_is_refused_by_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"text": "fine"}\n\n' + line + "\n")
    with pytest.raises(ModelkilnError, match=r'corpus\.jsonl, line 3: expected \{"text"'):
        own_words(tmp_path / "corpus.jsonl")


def test_own_words_are_in_the_table_and_change_no_answer(tiny_source: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("zweitausend\nnew tram line\n")
    dest = compile_here("onnxruntime", tiny_source, tmp_path / "compiled", 48, 64, "word", tmp_path / "words.txt")
    word = modelkiln.load(dest, cache_mb=0).word
    found = word.encode(["zweitausend", "new tram line"])
    assert word.vocabulary.fill(["zweitausend", "new tram line", "new tram"], np.zeros((3, 32)), [0, 1, 2]) == [2]
    word.vocabulary = None
    np.testing.assert_allclose(found, word.encode(["zweitausend", "new tram line"]), atol=1e-5)


def test_table_of_another_graph_is_refused(table_artifact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(table_artifact, tmp_path / "copy"))
    words = json.loads((folder / FOLDER / WORDS).read_text())
    (folder / FOLDER / WORDS).write_text(json.dumps({**words, "graph": "0" * 64}))
    seal(folder, read_manifest(folder))
    with pytest.raises(ModelkilnError, match="made with another graph"):
        modelkiln.load(folder)


def test_table_whose_files_do_not_belong_together_is_refused(table_artifact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(table_artifact / FOLDER, tmp_path / "copy"))
    graph = json.loads((folder / WORDS).read_text())["graph"]
    np.save(folder / VECTORS, np.zeros((3, 32), np.float32))
    with pytest.raises(ModelkilnError, match=r"vectors of shape \(3, 32\) in 512 bytes, expected"):
        read_vocabulary(folder, graph, 32)
