"""What a larger table could still bring: modelkiln with every phrase known, against KeyBERT, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

import modelkiln
from modelkiln.bench.peers import BASE, Limits, Places, choose
from modelkiln.bench.process import Process

NGRAMS = ((1, 1), (1, 2))


def measure_ceiling(artifact: Path, source: Path, texts: Sequence[str], documents: int, rounds: int) -> dict[str, Any]:
    """Per n-grams: tokens of a document, phrases, those that the table lacks and their tokens, and the ratio.

    The last documents, one at a time, one thread, the two processes in turns. Every phrase is known to modelkiln since
    its running cache has met the same documents before: nothing but the documents themselves is left to encode.
    """
    chosen = list(texts[-documents:])
    peers = choose([(BASE, 1), ("warm", 1)], Places(artifact, source), Limits())
    base, warm = processes = [Process(peer, chosen[0]) for peer in peers]
    extractor = modelkiln.load(artifact, threads=1, cache_mb=0)
    rows = []
    try:
        for ngrams in NGRAMS:
            for process in processes:
                process.extract(chosen, ngrams)
            ratios = []
            for _ in range(rounds):
                theirs, ours = (sum(process.extract(chosen, ngrams)["seconds"]) for process in (base, warm))
                ratios.append(theirs / ours)
            rows.append({"ngrams": ngrams, "ratio": median(ratios), **_counts(extractor, chosen, ngrams)})
    finally:
        for process in processes:
            process.end()
    return {"rows": rows, "documents": len(chosen), "rounds": rounds}


def _counts(extractor: Any, texts: Sequence[str], ngrams: tuple[int, int]) -> dict[str, float]:
    """Means over the documents."""
    from sklearn.feature_extraction.text import CountVectorizer

    encoder = extractor.word
    found = []
    for text in texts:
        vectorizer = CountVectorizer(ngram_range=ngrams, stop_words="english")
        phrases = [str(phrase) for phrase in vectorizer.fit([text]).get_feature_names_out()]
        scratch = np.zeros((len(phrases), encoder.dimension), np.float32)
        everything = range(len(phrases))
        missing = encoder.vocabulary.fill(phrases, scratch, everything) if encoder.vocabulary else everything
        tokens = sum(encoder.count_tokens([phrases[index] for index in missing]))
        length = min(extractor.document.count_tokens([text])[0], extractor.document.spec.max_length)
        found.append((length, len(phrases), len(missing), tokens))
    names = ("document_tokens", "phrases", "missing", "missing_tokens")
    return {name: mean(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}
