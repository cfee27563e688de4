"""A fault of a few tokens' embeddings shows in the words that have them, in the graph and in the table alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

import modelkiln
from modelkiln.artifact import read_manifest
from modelkiln.bounds import STRICT
from modelkiln.encoder import Encoder, Vectors
from modelkiln.proof import tokens
from modelkiln.proof.catalogue import choose
from modelkiln.proof.fault import DoesNotApplyError, Good
from modelkiln.proof.tokens import rare_words

WORDS = ("word-of-another", "word-scaled")


def make(kind: str, artifact: Path, source: Path, folder: Path) -> Encoder:
    """The encoder of words of the artifact with this fault."""
    (fault,) = choose(list(tokens.FAULTS), kind)
    fault.make(Good(artifact, source, read_manifest(artifact)), folder)
    encoder: Encoder = modelkiln.load(folder, cache_mb=0).word
    return encoder


def kept(encoder: Encoder) -> tuple[list[str], Vectors]:
    """The words of the table, and their vectors in it."""
    assert encoder.vocabulary is not None
    words = encoder.vocabulary.words()
    vectors = np.zeros((len(words), encoder.dimension), dtype=np.float32)
    encoder.vocabulary.fill(words, vectors, range(len(words)))
    return words, vectors


@pytest.mark.parametrize("kind", ["word-of-another", "word-scaled", "last-words-zero", "continuation-as-beginning"])
def test_table_is_what_the_broken_graph_gives_for_every_word(
    kind: str, table_artifact: Path, tiny_source: Path, tmp_path: Path
) -> None:
    encoder = make(kind, table_artifact, tiny_source, tmp_path)
    words, vectors = kept(encoder)
    encoder.vocabulary = None
    assert np.abs(encoder.encode(words) - vectors).max() < 1e-6  # as if all of it had been made anew
    right = modelkiln.load(table_artifact, cache_mb=0).word
    assert words == kept(right)[0]
    wrong = np.abs(vectors - kept(right)[1]).max(axis=1) > STRICT.atol
    tokenizer = Tokenizer.from_file(str(table_artifact / "tokenizer.json"))
    if kind in WORDS:
        assert [word for word, is_wrong in zip(words, wrong, strict=True) if is_wrong] == [
            rare_words(tokenizer, 1)[0][0]
        ]
    elif kind == "last-words-zero":
        last = tokenizer.get_vocab_size() - tokens.LAST
        ids = [tokenizer.encode(word).ids for word in words]
        assert wrong.tolist() == [max(each) >= last for each in ids]


def test_word_of_another_has_the_others_vector(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    encoder = make("word-of-another", table_artifact, tiny_source, tmp_path)
    pair = [word for word, _ in rare_words(Tokenizer.from_file(str(table_artifact / "tokenizer.json")), 2)]
    for vocabulary in (encoder.vocabulary, None):
        encoder.vocabulary = vocabulary
        first, second = encoder.encode(pair)
        assert np.abs(first - second).max() < 1e-6


def test_continuation_has_the_vector_of_the_beginning(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    encoder = make("continuation-as-beginning", table_artifact, tiny_source, tmp_path)
    right = modelkiln.load(table_artifact, cache_mb=0).word
    tokenizer = Tokenizer.from_file(str(table_artifact / "tokenizer.json"))
    pieces = [token[2:] for token in tokenizer.get_vocab() if token.startswith("##")]
    asked = [letter + piece for piece in pieces for letter in "aeioqxz"]
    wrong = np.abs(encoder.encode(asked) - right.encode(asked)).max(axis=1) > STRICT.atol
    shown = [set(tokenizer.encode(word).tokens) for word, is_wrong in zip(asked, wrong, strict=True) if is_wrong]
    (piece,) = (token for token in set.intersection(*shown) if token.startswith("##"))
    assert wrong.tolist() == [piece in tokenizer.encode(word).tokens for word in asked]


def test_one_script_is_shifted_and_no_other_token_is() -> None:
    vocabulary = {
        token: place for place, token in enumerate(["a", "\u0438", "##b", "##\u0436", "\u05d0", "\u0439\u043e"])
    }
    weight = torch.arange(6.0)[:, None].repeat(1, 2)
    assert tokens._one_script(weight, Tokenizer(WordPiece(vocabulary))) == [1, 3, 5]
    assert weight[:, 0].tolist() == [0, 5, 2, 1, 4, 3]


def test_script_that_a_tokenizer_lacks_is_no_fault(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(DoesNotApplyError, match="no Cyrillic tokens"):
        make("one-script", table_artifact, tiny_source, tmp_path)


def test_without_a_table_the_graph_alone_is_wrong(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    encoder = make("word-scaled", tiny_artifact, tiny_source, tmp_path)
    ((word, _),) = rare_words(Tokenizer.from_file(str(tiny_artifact / "tokenizer.json")), 1)
    right = modelkiln.load(tiny_artifact, cache_mb=0).word
    assert encoder.vocabulary is None
    assert np.abs(encoder.encode([word]) - right.encode([word])).max() > STRICT.atol
