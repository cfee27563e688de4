"""A fault of the tokenizer shows in the texts that it names, and in no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

import modelkiln
from modelkiln.artifact import TOKENIZER, read_manifest
from modelkiln.bounds import STRICT
from modelkiln.proof import tokenizer as faults
from modelkiln.proof.catalogue import choose
from modelkiln.proof.fault import Good
from modelkiln.proof.tokens import rare_words

RARE = "RARE"  # stands for the rarest word
# What the fault is about; and what is next to it, and stays right.
SHOWS = {
    "words-traded": (RARE, "the council"),
    "long-words-unknown": ("a" * 61, "a" * 60),
    "word-missing": (RARE, "the council"),
    "special-token-forgotten": ("a [UNK] b", "a [MASK] b"),
    "special-token-alone": ("a[MASK]b", "a [MASK] b"),
    "full-width-dropped": ("the \uff21\uff22 line", "the \u3042 line"),
    "spelling-changed": ("a grey cat", "a great cat"),
    "long-numbers-cut": ("no 12345678", "no 1234567"),
}


@pytest.mark.parametrize("kind", SHOWS)
def test_fault_shows_where_it_says(kind: str, table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    (fault,) = choose(list(faults.FAULTS), kind)
    fault.make(Good(table_artifact, tiny_source, read_manifest(table_artifact)), tmp_path)
    ((rare, _),) = rare_words(Tokenizer.from_file(str(table_artifact / TOKENIZER)), 1)
    texts = [text.replace(RARE, rare) for text in SHOWS[kind]]
    broken, right = (modelkiln.load(folder, cache_mb=0).word for folder in (tmp_path, table_artifact))
    for vocabulary in (broken.vocabulary, None):
        broken.vocabulary = vocabulary
        wrong, same = np.abs(broken.encode(texts) - right.encode(texts)).max(axis=1)
        assert wrong > STRICT.atol
        assert same < STRICT.invariance_atol


def test_every_fault_has_a_text_that_shows_it() -> None:
    assert set(SHOWS) == {fault.name for fault in faults.FAULTS}


def test_table_is_the_broken_tokenizers_own(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    (fault,) = choose(list(faults.FAULTS), "words-traded")
    fault.make(Good(table_artifact, tiny_source, read_manifest(table_artifact)), tmp_path)
    encoder = modelkiln.load(tmp_path, cache_mb=0).word
    assert encoder.vocabulary is not None
    words = encoder.vocabulary.words()
    kept = encoder.encode(words)
    encoder.vocabulary = None
    assert np.abs(encoder.encode(words) - kept).max() < 1e-6
