"""A highlighted document looks as KeyBERT prints it, and has each of its words once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keybert._highlight import highlight_document
from sklearn.feature_extraction.text import CountVectorizer

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.golden import read_samples
from modelkiln.keywords.highlight import mark, print_highlighted

TEXT = read_samples()[0].text
DOC = "The new tram line opens on Friday; the tram is red. Tram line 2 opens 中文 next."


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal of 60 columns."""
    for name, value in {
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": "60",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="module")
def extractor(table_artifact: Path) -> Any:
    return modelkiln.load(table_artifact)


def marked(words: list[str], keywords: list[str], longest: int) -> str:
    """The marked phrases in brackets."""
    text = mark(words, keywords, longest, " ")
    pieces, end = [], 0
    for span in text.spans:
        pieces += [text.plain[end : span.start], f"[{text.plain[span.start : span.end]}]"]
        end = span.end
    return "".join([*pieces, text.plain[end:]])


@pytest.mark.parametrize("doc", [DOC, TEXT, "", "a b"], ids=len)
@pytest.mark.parametrize("keywords", [["tram", "opens", "中文"], []], ids=str)
def test_single_words_are_printed_as_keybert_prints_them(doc: str, keywords: list[str], capsys: Any) -> None:
    highlight_document(doc, [(word, 1.0) for word in keywords], CountVectorizer())
    expected = capsys.readouterr().out
    print_highlighted(doc, keywords, (1, 1), None)
    assert capsys.readouterr().out == expected
    assert "tram" not in doc or not keywords or "\x1b[30;48;2;255;255;0mtram\x1b[0m" in expected


def test_phrases_are_printed_as_keybert_prints_them_where_it_loses_nothing(capsys: Any) -> None:
    keywords = ["new tram", "next", "red"]
    highlight_document("That new tram", [(word, 1.0) for word in keywords], CountVectorizer(ngram_range=(1, 2)))
    highlight_document("It was red and next", [(word, 1.0) for word in keywords], CountVectorizer(ngram_range=(1, 2)))
    expected = capsys.readouterr().out
    print_highlighted("That new tram", keywords, (1, 2), None)
    print_highlighted("It was red and next", keywords, (1, 2), None)
    assert capsys.readouterr().out == expected


def test_words_after_a_marked_phrase_are_neither_lost_nor_doubled() -> None:
    words = ["The", "new", "tram", "line", "opens", "on", "Friday"]
    assert marked(words, ["tram line", "opens"], 2) == "The new [tram line] [opens] on Friday"
    assert marked(words, ["tram"], 3) == "The new [tram] line opens on Friday"
    assert marked(words, ["new", "new tram", "tram line opens"], 3) == "The [new tram] line opens on Friday"
    assert marked(words, ["friday", "friday night"], 2) == "The new tram line opens on [Friday]"


def test_vectorizer_says_what_the_words_are(capsys: Any) -> None:
    def letters_zh(text: str) -> list[str]:
        return list(text)

    for options in ({"tokenizer": str.split}, {"tokenizer": letters_zh}):
        vectorizer = CountVectorizer(**options, token_pattern=None)
        highlight_document("tram, line tram", [("tram", 1.0), ("l", 1.0)], vectorizer)
        expected = capsys.readouterr().out
        print_highlighted("tram, line tram", ["tram", "l"], (5, 5), vectorizer)
        assert capsys.readouterr().out == expected


def test_what_looks_like_markup_is_printed_as_it_stands(capsys: Any) -> None:
    print_highlighted("a [/red] :smile: [bold]", [":smile:"], (1, 1), CountVectorizer(tokenizer=str.split))
    assert capsys.readouterr().out == "a [/red] \x1b[30;48;2;255;255;0m:smile:\x1b[0m [bold]\n"


def test_vectorizer_that_does_not_say_is_refused() -> None:
    with pytest.raises(ModelkilnError, match="highlight: object has no build_tokenizer or no ngram_range"):
        print_highlighted("tram", ["tram"], (1, 1), object())  # type: ignore[arg-type]


def test_extractor_highlights_a_single_document(extractor: Any, capsys: Any) -> None:
    alone = extractor.extract_keywords(DOC, candidates=["red", "tram"], highlight=True)
    once = capsys.readouterr().out
    assert once.count("\x1b[30;48;2;255;255;0m") == 4
    assert extractor.extract_keywords([DOC], candidates=["red", "tram"], highlight=True) == [alone]
    assert capsys.readouterr().out == once
    extractor.extract_keywords([DOC, DOC], highlight=True)
    extractor.extract_keywords("the of", highlight=True)
    extractor.extract_keywords("", highlight=True)
    extractor.extract_keywords(DOC)
    assert capsys.readouterr().out == ""


def test_extractor_highlights_phrases_of_a_vectorizer(extractor: Any, capsys: Any) -> None:
    extractor.extract_keywords(
        DOC, vectorizer=CountVectorizer(ngram_range=(2, 2), vocabulary=["tram line"]), highlight=True
    )
    assert "\x1b[30;48;2;255;255;0mTram line\x1b[0m" in capsys.readouterr().out
