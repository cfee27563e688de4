"""A document with its keywords marked, on the terminal, as KeyBERT prints it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from modelkiln.errors import ModelkilnError
from modelkiln.keywords.ngrams import WORD, Vectorizer

if TYPE_CHECKING:
    from rich.text import Text

MARK = "black on #FFFF00"


def print_highlighted(
    doc: str, keywords: Collection[str], ngram_range: tuple[int, int], vectorizer: Vectorizer | None
) -> None:
    """Prints the words of the document on stdout, its keywords marked where the terminal has colours.

    As in KeyBERT what lies between the words, such as punctuation, is not printed. KeyBERT drops the word after a
    marked phrase of several words or prints it twice; here each word is printed once.

    Raises:
        ModelkilnError: the vectorizer does not say how it splits a document into words.
    """
    from rich.console import Console

    tokenize: Callable[[str], list[str]] = WORD.findall
    longest = ngram_range[1]
    if vectorizer is not None:
        build, sizes = (getattr(vectorizer, name, None) for name in ("build_tokenizer", "ngram_range"))
        if build is None or sizes is None:
            raise ModelkilnError(
                f"highlight: {type(vectorizer).__name__} has no build_tokenizer or no ngram_range, as CountVectorizer "
                "has them; extract without highlight"
            )
        tokenize, longest = build(), sizes[1]
    # KeyBERT's way to know a tokenizer for Chinese, which writes no spaces.
    separator = "" if "zh" in str(tokenize) else " "
    Console().print(mark(tokenize(doc), set(keywords), longest, separator))


def mark(words: list[str], keywords: Collection[str], longest: int, separator: str) -> Text:
    """The words, joined; where several keywords begin at one word, the longest of them is marked."""
    from rich.text import Text

    pieces = []
    start = 0
    while start < len(words):
        ends = range(min(start + longest, len(words)), start, -1)
        phrases = ((end, separator.join(words[start:end])) for end in ends)
        end, phrase = next(((end, each) for end, each in phrases if each.lower() in keywords), (0, ""))
        pieces.append(Text(phrase, style=MARK) if end else Text(words[start]))
        start = end or start + 1
    return Text(separator).join(pieces)
