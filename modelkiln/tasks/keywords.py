"""The task `keywords`: an extractor over the encoders of documents and of words, held against KeyBERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelkiln.errors import ModelkilnError
from modelkiln.parity import Parity, compare_keywords
from modelkiln.tasks import to_text

if TYPE_CHECKING:
    from modelkiln.encoder import Encoder, Vectors
    from modelkiln.keywords.extractor import KeywordExtractor, Keywords

ENCODERS = ("document", "word")
RECURRING = ("word",)
LIBRARIES = ("scikit-learn",)  # its stop words go into the artifact
STOP_WORDS = "stop_words.json"
GOLDEN_PARAMS: tuple[dict[str, Any], ...] = (
    {"top_n": 5},
    {"keyphrase_ngram_range": (1, 2), "top_n": 10},
    {"keyphrase_ngram_range": (1, 2), "use_mmr": True, "diversity": 0.7},
    {"keyphrase_ngram_range": (1, 1), "stop_words": None, "use_maxsum": True, "nr_candidates": 12},
)
QUALITY_PARAMS: dict[str, Any] = {"keyphrase_ngram_range": (1, 2), "top_n": 15}


def resources() -> dict[str, str]:
    """The stop words, as scikit-learn has them: serving needs no scikit-learn then."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return {STOP_WORDS: to_text({"english": sorted(ENGLISH_STOP_WORDS)})}


def reference_resources() -> dict[str, Any]:
    """The stop words that KeyBERT's candidates are made without: those that scikit-learn's vectorizer leaves out."""
    from sklearn.feature_extraction.text import CountVectorizer

    return {STOP_WORDS: {"english": sorted(CountVectorizer(stop_words="english").get_stop_words())}}


def build(encoders: Mapping[str, Encoder], folder: Path) -> KeywordExtractor:
    """The extractor of a verified artifact."""
    # Here, not above: the compile stage needs only the names and the resources of this module, and is not to run again
    # when the extractor changes.
    from modelkiln import schema
    from modelkiln.errors import raise_all
    from modelkiln.files import read_json
    from modelkiln.keywords.extractor import KeywordExtractor

    path, mistakes = folder / "task" / STOP_WORDS, list[str]()
    stop_words = schema.parse(dict[str, list[str]], read_json(path, "the stop words"), "", mistakes)
    raise_all(f"{path}: the stop words are damaged", mistakes)
    return KeywordExtractor(encoders["document"], encoders["word"], stop_words)


def reference(embed: Callable[[Sequence[str]], Vectors]) -> Any:
    """KeyBERT over any texts -> vectors."""
    import keybert
    from keybert.backend import BaseEmbedder

    class Embedder(BaseEmbedder):  # type: ignore[misc]
        """The method that KeyBERT calls."""

        def embed(self, documents: Sequence[str], verbose: bool = False) -> Vectors:  # noqa: ARG002 (KeyBERT's)
            return embed(list(documents))

    return keybert.KeyBERT(Embedder())


def predict(predictor: Any, inputs: Sequence[str], params: dict[str, Any]) -> list[Keywords]:
    """The keywords of the inputs, by an extractor of ours or by KeyBERT."""
    # JSON has lists for tuples, and scikit-learn refuses them here.
    call = {name: tuple(value) if name == "keyphrase_ngram_range" else value for name, value in params.items()}
    return _for_each(predictor.extract_keywords(list(inputs), **call), len(inputs))


def read(answers: Any, inputs: int) -> list[Keywords]:
    """Keywords from JSON: for each input a list of [keyword, score]; for a single one it may stand by itself."""
    try:
        single = inputs == 1 and (not answers or (answers[0] and isinstance(answers[0][0], str)))
        found = [[(str(word), float(score)) for word, score in each] for each in ([answers] if single else answers)]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelkilnError(f"expected a list of [keyword, score] for each input: {error}") from error
    if len(found) != inputs:
        raise ModelkilnError(f"keywords of {len(found)} documents, expected {inputs}")
    return found


def compare(expected: list[Keywords], actual: list[Keywords], atol: float) -> Parity:
    """See modelkiln.parity.compare_keywords."""
    return compare_keywords(expected, actual, atol)


def _for_each(answer: Any, documents: int) -> list[Keywords]:
    """KeyBERT gives a flat list for a single document, and an empty one where no document has a candidate."""
    if not answer:
        return [[] for _ in range(documents)]
    return [answer] if isinstance(answer[0], tuple) else list(answer)
