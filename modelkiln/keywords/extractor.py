"""Keyword extraction as KeyBERT does it: the phrases of a document whose vectors are nearest to the document's own."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from modelkiln.encoder import Encoder, Vectors, encode_together
from modelkiln.errors import ModelkilnError
from modelkiln.keywords import ranking, streaming
from modelkiln.keywords.highlight import print_highlighted
from modelkiln.keywords.ngrams import Candidates, Vectorizer, ask_vectorizer, find_candidates
from modelkiln.keywords.options import (
    FurtherOptions,
    KeywordOptions,
    Seeds,
    check_candidates,
    check_choice,
    check_docs,
    given_vectors,
    seeds_of_documents,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from Python 3.11 on

__all__ = ["KeywordExtractor", "KeywordOptions", "Keywords"]

Keywords = list[tuple[str, float]]
Docs = str | list[str] | tuple[str, ...]


class KeywordExtractor:
    """What `modelkiln.load` gives for an artifact of this task. Safe to use from several threads."""

    def __init__(self, document: Encoder, word: Encoder, stop_words: Mapping[str, Iterable[str]]) -> None:
        self.document = document
        self.word = word
        self._stop_words = {language: frozenset(words) for language, words in stop_words.items()}

    @overload
    def extract_keywords(
        self,
        docs: str,
        candidates: Collection[str] | None = None,
        keyphrase_ngram_range: tuple[int, int] = (1, 1),
        stop_words: str | Collection[str] | None = "english",
        top_n: int = 5,
        **options: Unpack[FurtherOptions],
    ) -> Keywords: ...
    @overload
    def extract_keywords(
        self,
        docs: list[str] | tuple[str, ...],
        candidates: Collection[str] | None = None,
        keyphrase_ngram_range: tuple[int, int] = (1, 1),
        stop_words: str | Collection[str] | None = "english",
        top_n: int = 5,
        **options: Unpack[FurtherOptions],
    ) -> list[Keywords]: ...
    def extract_keywords(
        self,
        docs: Docs,
        candidates: Collection[str] | None = None,
        keyphrase_ngram_range: tuple[int, int] = (1, 1),
        stop_words: str | Collection[str] | None = "english",
        top_n: int = 5,
        min_df: float = 1,
        use_maxsum: bool = False,
        use_mmr: bool = False,
        diversity: float = 0.5,
        nr_candidates: int = 20,
        vectorizer: Vectorizer | None = None,
        highlight: bool = False,
        seed_keywords: Seeds | None = None,
        doc_embeddings: NDArray[Any] | None = None,
        word_embeddings: NDArray[Any] | None = None,
        threshold: float | None = None,  # noqa: ARG002 (KeyBERT's)
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
            vectorizer: What finds the phrases: a CountVectorizer, or any object with its fit, transform and
                get_feature_names_out. It is fitted to the documents, and `candidates`, `keyphrase_ngram_range`,
                `stop_words` and `min_df` are not used.
            highlight: Print the document's words too, the keywords marked; for a single document, else not at all.
            seed_keywords: Words that pull the documents' vectors towards them, by a quarter; for all documents, or a
                list for each.
            doc_embeddings: The documents' vectors, from extract_embeddings, (documents, dimension); used as float32.
            word_embeddings: The phrases' vectors, from extract_embeddings, (phrases, dimension).
            threshold: Has no effect, as in KeyBERT without a large language model.

        Returns:
            (keyword, cosine rounded to 4 digits) pairs, the best first (with use_maxsum: last). For a list of documents
            always a list of such lists, also for a single one, where KeyBERT gives a flat list. A document without a
            candidate has none.

        Raises:
            ModelkilnError: an option that means nothing. KeyBERT gives an empty list for most of these. Or a vectorizer
                that finds nothing in any of the documents, where KeyBERT raises too.
        """
        check_docs(docs)
        check_choice(top_n, diversity, nr_candidates, use_maxsum and not use_mmr)
        texts = [docs] if isinstance(docs, str) else list(docs)
        found = self._find(docs, candidates, keyphrase_ngram_range, stop_words, min_df, vectorizer)
        seeds = seeds_of_documents(seed_keywords, len(texts))
        filled = [index for index, phrases in enumerate(found.of_document) if phrases]
        used = sorted({phrase for index in filled for phrase in found.of_document[index]})
        documents = given_vectors("doc_embeddings", doc_embeddings, len(texts), "document", filled)
        words = given_vectors("word_embeddings", word_embeddings, len(found.phrases), "phrase", used)
        documents, words = self._complete(
            documents,
            words,
            [texts[index] for index in filled],
            [found.phrases[phrase] for phrase in used],
            [seeds[index] for index in filled] if seeds else [],
        )
        answers: list[Keywords] = [[] for _ in texts]
        for vector, index in zip(documents, filled, strict=True):
            phrases = found.of_document[index]
            vectors = words[np.searchsorted(used, phrases)]
            if use_mmr:
                best = ranking.by_mmr(vector, vectors, top_n, diversity)
            elif use_maxsum:
                best = ranking.by_max_sum(vector, vectors, top_n, nr_candidates)
            else:
                best = ranking.by_cosine(vector, vectors, top_n)
            answers[index] = [(found.phrases[phrases[i]], round(score, 4)) for i, score in best]
        if highlight and len(texts) == 1 and found.phrases:
            print_highlighted(texts[0], [keyword for keyword, _ in answers[0]], keyphrase_ngram_range, vectorizer)
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

    def extract_embeddings(
        self,
        docs: Docs,
        candidates: Collection[str] | None = None,
        keyphrase_ngram_range: tuple[int, int] = (1, 1),
        stop_words: str | Collection[str] | None = "english",
        min_df: float = 1,
        vectorizer: Vectorizer | None = None,
    ) -> tuple[Vectors, Vectors]:
        """The vectors that extract_keywords ranks by, to be passed to it as `doc_embeddings` and `word_embeddings`.

        They are worth having where the same documents are tried with several ways to choose (top_n, use_mmr, …). The
        arguments are those of extract_keywords, and have to be the same in both calls.

        Returns:
            The documents' vectors, (documents, dimension), and the phrases', (phrases, dimension), in the order of the
            vectorizer's columns: alphabetical, or that of `candidates`, all of which have a row. Where there is no
            phrase at all (0, dimension); KeyBERT gives an empty list then instead of two arrays.

        Raises:
            ModelkilnError: as extract_keywords.
        """
        check_docs(docs)
        texts = [docs] if isinstance(docs, str) else list(docs)
        found = self._find(docs, candidates, keyphrase_ngram_range, stop_words, min_df, vectorizer)
        words, documents = encode_together([(self.word, found.phrases), (self.document, texts)])
        return documents, words

    def _find(
        self,
        docs: Docs,
        candidates: Collection[str] | None,
        ngram_range: tuple[int, int],
        stop_words: str | Collection[str] | None,
        min_df: float,
        vectorizer: Vectorizer | None,
    ) -> Candidates:
        texts = [docs] if isinstance(docs, str) else docs
        if vectorizer is None:
            check_candidates(candidates)
            return find_candidates(texts, ngram_range, self._stop(stop_words), min_df, candidates)
        # KeyBERT asks no vectorizer about an empty text, only about a list of them.
        return Candidates([], [[]]) if docs == "" else ask_vectorizer(texts, vectorizer)

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

    def _complete(
        self,
        documents: Vectors | None,
        words: Vectors | None,
        texts: list[str],
        phrases: list[str],
        seeds: list[tuple[str, ...]],
    ) -> tuple[Vectors, Vectors]:
        """The vectors of the texts, pulled towards their seeds, and of the phrases; what is given is not encoded."""
        seed_words = list(dict.fromkeys(word for each in seeds for word in each))
        encoded_words, encoded, pulls = encode_together(
            [
                (self.word, phrases if words is None else []),
                (self.document, texts if documents is None else []),
                (self.word, seed_words),
            ]
        )
        words = encoded_words if words is None else words
        documents = encoded if documents is None else documents
        if not documents.shape[1] == words.shape[1] == (pulls if seeds else words).shape[1]:
            raise ModelkilnError(
                f"doc_embeddings, word_embeddings: vectors of {documents.shape[1]} dimensions for documents and of "
                f"{words.shape[1]} for phrases, where this model's have {self.word.dimension}; "
                "take both from extract_embeddings"
            )
        if seeds:
            row = {word: position for position, word in enumerate(seed_words)}
            pull = np.stack([pulls[[row[word] for word in each]].mean(axis=0) for each in seeds])
            documents = np.asarray((documents * 3 + pull) / 4, dtype=np.float32)
        return documents, words
