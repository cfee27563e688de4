"""Keyword extraction as KeyBERT does it: the phrases of a document whose vectors are nearest to the document's own."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TypedDict, Unpack, cast, overload

import numpy as np

from modelkiln import ranking, streaming
from modelkiln.encoder import Encoder, Vectors, encode_together
from modelkiln.errors import ModelkilnError
from modelkiln.ngrams import find_candidates

Keywords = list[tuple[str, float]]


class KeywordOptions(TypedDict, total=False):
    """The options of extract_keywords, which explains them."""

    candidates: Collection[str] | None
    keyphrase_ngram_range: tuple[int, int]
    stop_words: str | Collection[str] | None
    top_n: int
    min_df: float
    use_maxsum: bool
    use_mmr: bool
    diversity: float
    nr_candidates: int
    seed_keywords: Sequence[str] | Sequence[Sequence[str]] | None


class KeywordExtractor:
    """What `modelkiln.load` gives for an artifact of this task. Safe to use from several threads."""

    def __init__(self, document: Encoder, word: Encoder, stop_words: Mapping[str, Iterable[str]]) -> None:
        self.document = document
        self.word = word
        self._stop_words = {language: frozenset(words) for language, words in stop_words.items()}

    @overload
    def extract_keywords(self, docs: str, **options: Unpack[KeywordOptions]) -> Keywords: ...
    @overload
    def extract_keywords(
        self, docs: list[str] | tuple[str, ...], **options: Unpack[KeywordOptions]
    ) -> list[Keywords]: ...
    def extract_keywords(
        self,
        docs: str | list[str] | tuple[str, ...],
        *,
        candidates: Collection[str] | None = None,
        keyphrase_ngram_range: tuple[int, int] = (1, 1),
        stop_words: str | Collection[str] | None = "english",
        top_n: int = 5,
        min_df: float = 1,
        use_maxsum: bool = False,
        use_mmr: bool = False,
        diversity: float = 0.5,
        nr_candidates: int = 20,
        seed_keywords: Sequence[str] | Sequence[Sequence[str]] | None = None,
    ) -> Keywords | list[Keywords]:
        """The keywords that KeyBERT 0.9 gives with the uncompiled model: the same, in the same order.

        Args:
            docs: A document, or a list of documents. Phrases that documents share are encoded once.
            candidates: Only these phrases, where a document contains them; None: every phrase of the document.
            keyphrase_ngram_range: The least and the most words in a phrase.
            stop_words: "english", words of your own in lower case, or None.
            top_n: Keywords for each document, at the most.
            min_df: The least number of documents that a phrase must be in; a float is a share of them.
            use_maxsum: Choose the keywords that are the least similar among the `nr_candidates` nearest.
            use_mmr: Choose one after the other, near to the document and far from those chosen. Wins over use_maxsum.
            diversity: For use_mmr; 0 (nearness alone) to 1 (distance alone).
            nr_candidates: For use_maxsum.
            seed_keywords: Words that pull the documents' vectors towards them, by a quarter; for all documents, or a
                list for each.

        Returns:
            (keyword, cosine rounded to 4 digits) pairs, the best first (with use_maxsum: last). For a list of documents
            always a list of such lists, also for a single one, where KeyBERT gives a flat list. A document without a
            candidate has none.

        Raises:
            ModelkilnError: an option that means nothing. KeyBERT gives an empty list for most of these.
        """
        _check(docs, candidates, top_n, diversity, nr_candidates, use_maxsum and not use_mmr)
        texts = [docs] if isinstance(docs, str) else list(docs)
        found = find_candidates(texts, keyphrase_ngram_range, self._stop(stop_words), min_df, candidates)
        seeds = _seeds(seed_keywords, len(texts))
        answers: list[Keywords] = [[] for _ in texts]
        filled = [index for index, phrases in enumerate(found.of_document) if phrases]
        if filled:
            used = sorted({phrase for index in filled for phrase in found.of_document[index]})
            row = {phrase: position for position, phrase in enumerate(used)}
            words, documents = encode_together(
                [
                    (self.word, [found.phrases[phrase] for phrase in used]),
                    (self.document, [texts[index] for index in filled]),
                ]
            )
            if seeds:
                pull = self._seed_vectors([seeds[index] for index in filled])
                documents = np.asarray((documents * 3 + pull) / 4, dtype=np.float32)
            for vector, index in zip(documents, filled, strict=True):
                phrases = found.of_document[index]
                vectors = words[[row[phrase] for phrase in phrases]]
                if use_mmr:
                    best = ranking.by_mmr(vector, vectors, top_n, diversity)
                elif use_maxsum:
                    best = ranking.by_max_sum(vector, vectors, top_n, nr_candidates)
                else:
                    best = ranking.by_cosine(vector, vectors, top_n)
                answers[index] = [(found.phrases[phrases[i]], round(score, 4)) for i, score in best]
        return answers[0] if isinstance(docs, str) else answers

    def stream(
        self,
        docs: Iterable[str],
        *,
        at_once: int = streaming.AT_ONCE,
        workers: int = 1,
        **options: Unpack[KeywordOptions],
    ) -> Generator[Keywords, None, None]:
        """The keywords of each document, one after the other, in bounded memory: extract_keywords for any number.

        What `docs` raises is raised after the keywords of all documents before it.

        Args:
            docs: The documents; read `at_once` at a time, when their keywords are asked for.
            at_once: Documents at a time, at the most; fewer where they are long. They share the encoding of their
                phrases, and their keywords come together: 1 where each is to be answered when it comes.
            workers: Groups of documents at a time, each in a thread; as a rule with load(…, threads=1).
            options: Those of extract_keywords that need no other document: not `min_df`, not a seed list for each.

        Raises:
            ModelkilnError: an option that means nothing, at once; a document that is no text, when it is reached.
        """
        streaming.check(docs, at_once, workers, dict(options))
        self.extract_keywords([], **options)  # refuses what it would refuse later
        return streaming.stream(docs, lambda group: self.extract_keywords(group, **options), at_once, workers)

    def _stop(self, stop_words: str | Collection[str] | None) -> frozenset[str]:
        if stop_words is None:
            return frozenset()
        if not isinstance(stop_words, str):
            if not isinstance(stop_words, Collection) or not all(isinstance(word, str) for word in stop_words):
                raise ModelkilnError(f"stop_words: expected a name, a list of words or None, found {stop_words!r}")
            return frozenset(stop_words)
        if stop_words not in self._stop_words:
            raise ModelkilnError(
                f"stop_words: no list named {stop_words!r}; this artifact has: {', '.join(self._stop_words)}. "
                "For another language pass the words themselves"
            )
        return self._stop_words[stop_words]

    def _seed_vectors(self, seeds: list[tuple[str, ...]]) -> Vectors:
        means = {words: self.word.encode(words).mean(axis=0) for words in dict.fromkeys(seeds)}
        return np.stack([means[words] for words in seeds])


def _seeds(seeds: Sequence[str] | Sequence[Sequence[str]] | None, documents: int) -> list[tuple[str, ...]]:
    if seeds is None:
        return []
    if _are_words(seeds):
        return [tuple(str(seed) for seed in seeds)] * documents
    if isinstance(seeds, str) or not seeds or not all(_are_words(words) for words in seeds):
        raise ModelkilnError(f"seed_keywords: expected a list of words, or one for each document, found {seeds!r}")
    if len(seeds) != documents:
        raise ModelkilnError(f"seed_keywords: {len(seeds)} lists for {documents} documents; one list for each, please")
    return [tuple(words) for words in seeds]


def _are_words(words: object) -> bool:
    is_list = isinstance(words, Collection) and not isinstance(words, str | bytes) and len(words) > 0
    return is_list and all(isinstance(word, str) for word in cast("Collection[object]", words))


def _check(
    docs: object, candidates: object, top_n: object, diversity: object, nr_candidates: object, is_maxsum: bool
) -> None:
    if not isinstance(docs, str):
        if not isinstance(docs, list | tuple):
            raise ModelkilnError(f"docs: expected a text or a list of texts, found {type(docs).__name__}")
        for index, doc in enumerate(docs):
            if not isinstance(doc, str):
                raise ModelkilnError(f"docs[{index}]: expected text, found {type(doc).__name__}")
    if candidates is not None and not (_are_words(candidates) or candidates == []):
        raise ModelkilnError(f"candidates: expected a list of phrases, found {candidates!r}")
    if not isinstance(top_n, Integral) or top_n < 1:
        raise ModelkilnError(f"top_n must be a whole number of at least 1, found {top_n!r}")
    if not isinstance(diversity, Real) or not 0 <= float(diversity) <= 1:
        raise ModelkilnError(f"diversity must be from 0 to 1, found {diversity!r}")
    if is_maxsum and not (isinstance(nr_candidates, Integral) and nr_candidates >= top_n):
        raise ModelkilnError(f"nr_candidates must be at least top_n ({top_n}), found {nr_candidates!r}")
