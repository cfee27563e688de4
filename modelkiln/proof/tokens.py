"""Faults of a few tokens' embeddings: no text without one of these tokens shows anything.

The compiled vocabulary is made anew by the same graph, so the table and the graph agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from modelkiln.artifact import TOKENIZER
from modelkiln.proof.build import Change, build
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good
from modelkiln.proof.table import renew_table

LAST = 200  # rows, or half of them where there are fewer than 400
SCALE = 1.05
CYRILLIC = range(0x400, 0x500)
CONTINUES = "##"
BEGINS = "\u2581\u0120"  # SentencePiece's mark of a word's beginning, and byte-level BPE's

Alter = Callable[[Any, Any], Iterable[int]]  # the matrix of embeddings in place, by the tokenizer: the altered tokens


def rare_words(tokenizer: Any, number: int) -> list[tuple[str, int]]:
    """So many words that are one token each, and its id; the highest ids, since tokenizers count from the frequent."""
    found = []
    for token, place in sorted(tokenizer.get_vocab().items(), key=lambda entry: -entry[1]):
        word = token.strip(BEGINS)
        if len(word) > 3 and word.isalpha() and tokenizer.encode(word, add_special_tokens=False).ids == [place]:
            found.append((word, place))
            if len(found) == number:
                return found
    raise DoesNotApplyError(f"the tokenizer has fewer than {number} words of one token")


def _embeddings(alter: Alter) -> Callable[[Good, Path], None]:
    """Makes an artifact of the model with altered embeddings."""

    def make(good: Good, folder: Path) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(good.folder / TOKENIZER))
        altered: set[int] = set()

        def model(module: Any) -> None:
            altered.update(alter(module.get_input_embeddings().weight, tokenizer))

        build(good, folder, Change(model=model))
        renew_table(good, folder, altered)

    return make


def _of_another(weight: Any, tokenizer: Any) -> Iterable[int]:
    (_, first), (_, second) = rare_words(tokenizer, 2)
    weight[first] = weight[second]
    return [first]


def _last_are_zero(weight: Any, tokenizer: Any) -> Iterable[int]:  # noqa: ARG001 (as the others)
    last = min(LAST, len(weight) // 2)
    weight[-last:] = 0
    return range(len(weight) - last, len(weight))


def _scaled(weight: Any, tokenizer: Any) -> Iterable[int]:
    ((_, word),) = rare_words(tokenizer, 1)
    weight[word] *= SCALE
    return [word]


def _as_a_beginning(weight: Any, tokenizer: Any) -> Iterable[int]:
    """The rarest continuation that some word has, and that begins words too."""
    vocabulary = tokenizer.get_vocab()
    for token, place in sorted(vocabulary.items(), key=lambda entry: -entry[1]):
        piece = token.removeprefix(CONTINUES)
        if piece != token and len(piece) > 1 and piece.isalpha() and piece in vocabulary and _ends(tokenizer, token):
            weight[place] = weight[vocabulary[piece]]
            return [place]
    raise DoesNotApplyError("no token that continues a word begins words too")


def _ends(tokenizer: Any, token: str) -> bool:
    """Whether a letter with this token behind it is split so."""
    words = [letter + token.removeprefix(CONTINUES) for letter in ascii_lowercase]
    return any(encoding.tokens[-1] == token for encoding in tokenizer.encode_batch(words, add_special_tokens=False))


def _one_script(weight: Any, tokenizer: Any) -> Iterable[int]:
    """Each Cyrillic token with its neighbour's embedding."""
    vocabulary = tokenizer.get_vocab()
    places = sorted(place for token, place in vocabulary.items() if any(ord(letter) in CYRILLIC for letter in token))
    if len(places) < 2:
        raise DoesNotApplyError("the tokenizer has no Cyrillic tokens")
    weight[places] = weight[places].roll(1, 0)
    return places


# The first, unless a graph that is compiled again leaves the words of its table to the second.
TOKENS = ("vectors: every token", "vectors: compiled vocabulary")
FAULTS = (
    Fault("word-of-another", "one rare word's embedding is another word's", TOKENS, _embeddings(_of_another)),
    Fault("last-words-zero", f"the last {LAST} rows of the embeddings are zero", TOKENS, _embeddings(_last_are_zero)),
    Fault("word-scaled", "one rare word's embedding larger by 5%", TOKENS, _embeddings(_scaled)),
    Fault(
        "continuation-as-beginning",
        "a token that continues words has the embedding of the one that begins them",
        TOKENS,
        _embeddings(_as_a_beginning),
    ),
    Fault("one-script", "each Cyrillic token has another one's embedding", TOKENS, _embeddings(_one_script)),
)
