"""The compiled vocabulary: words whose vectors were computed when the artifact was compiled.

KeyBERT embeds a candidate without its document, so a word's vector depends on nothing but the word. The table holds the
whole words of the tokenizer's own vocabulary, and words and phrases of the user's, as the artifact's own graph encodes
them:

    words.json    the sha256 of that graph, and the words, in the order of the rows
    vectors.npy   float32 (words, dimension), mapped into memory: only the rows that are asked for are read
"""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln import schema
from modelkiln.errors import ModelkilnError, one_line, raise_all
from modelkiln.files import read_json, read_lines, write_text
from modelkiln.progress import say, track

FOLDER = "vocabulary"
WORDS = "words.json"
VECTORS = "vectors.npy"
AT_ONCE = 1024  # words, between two lines of progress
MOST = 100_000  # words of a corpus, the most frequent: 154 MB of vectors of 384 dimensions
WORD = re.compile(r"(?u)\w\w+")  # what CountVectorizer takes for a word (keywords/ngrams.py)


@dataclass(frozen=True)
class _Head:
    """What words.json says."""

    graph: str
    words: list[str]


class Vocabulary:
    """Words and their vectors; safe to use from several threads, since nothing in it changes."""

    def __init__(self, words: Sequence[str], vectors: Any) -> None:
        self._row = {word: row for row, word in enumerate(words)}
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._row)

    def words(self) -> list[str]:
        """The words, in the order of the table."""
        return list(self._row)

    def fill(self, texts: Sequence[str], vectors: Any, wanted: Sequence[int]) -> list[int]:
        """Puts the vectors of those `wanted` texts that are known into their rows of `vectors`.

        Args:
            texts: The texts.
            vectors: float32 (len(texts), dimension).
            wanted: Indices into both.

        Returns:
            The indices of the others.
        """
        rows = {index: row for index in wanted if (row := self._row.get(texts[index])) is not None}
        vectors[list(rows)] = self._vectors[list(rows.values())]
        return [index for index in wanted if index not in rows]


def whole_words(tokenizer: Any) -> list[str]:
    """The words that a `tokenizers.Tokenizer` has a token of its own for, in lower case, sorted.

    WordPiece marks what continues a word (##ing); SentencePiece and byte-level BPE mark what begins one.
    """
    tokens = tokenizer.get_vocab()
    if any(token.startswith("##") for token in tokens):
        found = {token for token in tokens if not token.startswith("##")}
    else:
        mark = max(("\u2581", "\u0120"), key=lambda each: sum(token.startswith(each) for token in tokens))
        found = {tokenizer.decode([number]).strip() for token, number in tokens.items() if token.startswith(mark)}
    return sorted(word for word in {word.lower() for word in found} if WORD.fullmatch(word))


def own_words(path: Path) -> list[str]:
    """The user's words and phrases as candidates have them, in lower case and with single spaces, sorted.

    Args:
        path: A list, one word or phrase a line, `#` begins a comment; or, if it ends in .jsonl, a corpus with `text` on
            each line, of which the words are taken, the MOST frequent ones if there are more.

    Raises:
        ModelkilnError: the file can't be read, or a line of the corpus is not what it has to be.
    """
    counts: Counter[str] = Counter()
    for number, line in read_lines(path, "the words"):
        if path.suffix != ".jsonl":
            counts[" ".join(WORD.findall(line.partition("#")[0].lower()))] += 1
        elif line.strip():
            try:
                counts.update(WORD.findall(json.loads(line)["text"].lower()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ModelkilnError(f'{path}, line {number}: expected {{"text": …}}: {error!r}') from error
    del counts[""]
    return sorted(sorted(counts, key=lambda word: (-counts[word], word))[:MOST])


def write_vocabulary(folder: Path, words: Sequence[str], encode: Callable[[Sequence[str]], Any], graph: str) -> None:
    """Writes the table of these words, and says its size and how long it took.

    Args:
        folder: Is made.
        words: Each once.
        encode: Gives vectors (n, dimension).
        graph: The sha256 of what it runs.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True)
    parts = [words[start : start + AT_ONCE] for start in range(0, len(words), AT_ONCE)]
    what = f"compiling the vocabulary, {AT_ONCE} words at a time"
    vectors = np.concatenate([encode(part) for part in track(parts, what, len(parts))])
    np.save(folder / VECTORS, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
    write_text(folder / WORDS, _head_text(_Head(graph, list(words))))
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    seconds = time.perf_counter() - started
    say(f"vocabulary: {len(words)} words, {megabytes:.1f} MB, {seconds:.1f} s (compile.vocabulary=null: none)")


def read_vocabulary(folder: Path, graph: str, dimension: int) -> Vocabulary:
    """The table in a folder, if it is that of the graph with this sha256.

    Raises:
        ModelkilnError: it was made with another graph, or its two files do not belong together.
    """
    head = _read_head(folder)
    if head.graph != graph:
        raise ModelkilnError(
            f"{folder}: this table was made with another graph, so its vectors would be another model's; "
            "compile the artifact again (`dvc repro compile`)"
        )
    try:
        vectors: Any = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of numpy's reader, of zip files, and of Python's, which reads the header
        raise ModelkilnError(f"{folder / VECTORS}: the vocabulary is damaged: {one_line(error)}") from error
    if not isinstance(vectors, np.memmap):
        raise ModelkilnError(f"{folder / VECTORS}: the vocabulary is damaged: expected one array of numbers")
    whole = vectors.offset + vectors.nbytes == (folder / VECTORS).stat().st_size  # and nothing comes after it
    if vectors.shape != (len(head.words), dimension) or vectors.dtype != np.float32 or not whole:
        raise ModelkilnError(
            f"{folder}: vectors of shape {vectors.shape} in {(folder / VECTORS).stat().st_size} bytes, expected "
            f"{(len(head.words), dimension)} in float32 and nothing else; "
            "compile the artifact again (`dvc repro compile`)"
        )
    return Vocabulary(head.words, vectors)


def has_one_form(folder: Path) -> bool:
    """Whether a table's two files are written as write_vocabulary writes them, so that they hold nothing beside it."""
    head = _read_head(folder)
    if (folder / WORDS).read_bytes() != _head_text(head).encode():
        return False
    vectors: Any = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(vectors))
    with (folder / VECTORS).open("rb") as file:
        return file.read(header.tell()) == header.getvalue()


def _head_text(head: _Head) -> str:
    return json.dumps({"graph": head.graph, "words": head.words}, ensure_ascii=False) + "\n"


def read_words(folder: Path) -> list[str]:
    """The words of the table in a folder; a ModelkilnError says what is wrong with it."""
    return _read_head(folder).words


def _read_head(folder: Path) -> _Head:
    mistakes: list[str] = []
    parsed = schema.parse(_Head, read_json(folder / WORDS, "the vocabulary"), "", mistakes)
    if parsed is not None and len(set(parsed.words)) < len(parsed.words):
        mistakes.append("a word is there twice")
    raise_all(f"{folder / WORDS}: the vocabulary is damaged", mistakes)
    assert isinstance(parsed, _Head)  # noqa: S101 (raise_all has raised otherwise)
    return parsed
