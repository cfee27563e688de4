"""Texts and rows of token ids that leave nothing of a tokenizer or an embedding unasked; the same ones each time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer

SEED = 0
WORDS = 32  # in a text: few enough for any envelope to hold their tokens, many enough to save calls
MIXED = 1500  # texts
PIECES = 24  # of a mixed text, at the most
LONGEST = 300  # characters of a word; WordPiece gives up at 100 by default
ROWS = 32_768  # of one token, at the most; a larger vocabulary has several in a row
SHARED = 4  # tokens in a row, of those that never stand alone
BLANKS = (" ", "  ", "\n", "\t", "\u00a0", "\u200b", "", "-", ", ", ". ", "/", "'", '"')


def parts(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """What a tokenizer.json says, part by part; the model's parts by themselves."""
    model = tokenizer.get("model")
    apart = {f"model.{name}": value for name, value in model.items()} if isinstance(model, dict) else {"model": model}
    return {**{name: value for name, value in tokenizer.items() if name != "model"}, **apart}


def tokens_of(tokenizer: dict[str, Any]) -> dict[str, int]:
    """The id of each token of a tokenizer.json, added ones included, by their ids; several tokens may share one."""
    model = tokenizer.get("model") or {}
    vocabulary = model.get("vocab") or {}
    found = (
        dict(vocabulary)
        if isinstance(vocabulary, dict)
        else {str(entry[0]): place for place, entry in enumerate(vocabulary)}  # Unigram: (token, score)
    )
    found |= {added["content"]: added["id"] for added in tokenizer.get("added_tokens") or []}
    return dict(sorted(found.items(), key=lambda entry: (entry[1], entry[0])))


def token_rows(tokenizer: dict[str, Any], template: Sequence[int], word: int) -> list[list[int]]:
    """Rows of ids in which each token stands once, between the special tokens that a text gets.

    A token that can be a text by itself has a row of its own; the others, which never stand alone, share rows.

    Args:
        tokenizer: As its tokenizer.json.
        template: The ids of a text of one token, special ones included.
        word: Where in it that token stands.
    """
    tokens = tokens_of(tokenizer)
    encoded = Tokenizer.from_str(json.dumps(tokenizer)).encode_batch_fast(list(map(_plain, tokens)))
    around = [*template[:word]], [*template[word + 1 :]]
    by_itself = {
        number
        for number, encoding in zip(tokens.values(), encoded, strict=True)
        if encoding.ids == [*around[0], number, *around[1]]
    }
    alone = [number for number in sorted(set(tokens.values())) if number in by_itself]
    others = [number for number in sorted(set(tokens.values())) if number not in by_itself]
    groups = [*_parts(alone, -(-len(alone) // ROWS)), *_parts(others, max(SHARED, -(-len(others) // ROWS)))]
    return [[*around[0], *group, *around[1]] for group in groups]


def drawn_rows(
    tokenizer: dict[str, Any],
    template: Sequence[int],
    word: int,
    chance: random.Random,
    longest: int,
    lengths: Sequence[int],
    twins: int,
) -> list[list[int]]:
    """Rows of ids that no text would have: tokens of all kinds at any place, and one token again and again.

    Args:
        tokenizer: As its tokenizer.json.
        template: The ids of a text of one token, special ones included.
        word: Where in it that token stands.
        chance: Draws.
        longest: Tokens of a row, special ones included.
        lengths: Of which there are to be several rows.
        twins: So many.
    """
    ids = sorted(set(tokens_of(tokenizer).values()))
    around = len(template) - 1
    wanted = [length for length in lengths if length <= longest for _ in range(twins)] + [longest] * twins
    inside = [[chance.choice(ids) for _ in range(length - around)] for length in wanted]
    for length in (longest, longest // 2, longest // 4):
        again = chance.choice(ids)
        inside.append([again] * (length - around))
        inside.append([chance.choice((again, chance.choice(ids), chance.choice(ids))) for _ in range(length - around)])
    return [[*template[:word], *row, *template[word + 1 :]] for row in inside]


def special_tokens(tokenizer: dict[str, Any]) -> list[str]:
    """The special tokens, and whatever else was added to the vocabulary, as they are written."""
    return [str(added["content"]) for added in tokenizer.get("added_tokens") or []]


def special_texts(tokenizer: dict[str, Any], words: Sequence[str], most: int = 64) -> list[str]:
    """Each special token, alone, first, last, between words, and often; a choice of tokens, if there are hundreds."""
    tokens = special_tokens(tokenizer)
    texts = []
    for number, token in enumerate(tokens[:: -(-len(tokens) // most)] if tokens else []):
        some = [words[(number * 7 + step) % len(words)] for step in range(24)]
        first, second = some[0], some[1]
        texts += [token, f"{token} {first}", f"{first} {token}", f"{first} {token} {second}", f"{first}{token}{second}"]
        texts += [token * 3, f"{token} {token}", f"{first} {token.lower()} {second} {token.upper()}"]
        texts.append(" ".join([*some[:12], token, *some[12:18], token, *some[18:]]))
    return [*texts, " ".join([*words[:3], *tokens[:most]])]


def token_texts(tokenizer: dict[str, Any]) -> list[str]:
    """Each token as a word of a text, and what continues a word behind a letter."""
    words = []
    for token in tokens_of(tokenizer):
        words.append(_plain(token))
        if token.startswith("##"):
            words.append(f"a{_plain(token)}")
    return _joined(words)


def character_texts() -> list[str]:
    """Every character of Unicode's first two planes, and a choice of the others, by itself and inside a word.

    By number, not by category: which characters there are, each Python says otherwise.
    """
    codes = [*range(0xD800), *range(0xF900, 0x20000), *range(0x20000, 0x40000, 16), *range(0x40000, 0x110000, 256)]
    kept = list(map(chr, [*codes, *range(0xE000, 0xF900, 64)]))
    return [*_joined(kept), *_joined([f"a{character}b" for character in kept])]


def long_words() -> list[str]:
    """Words of each length, of one letter and of several."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    lengths = range(1, LONGEST + 1)
    several = [(letters * (length // len(letters) + 1))[:length] for length in lengths]
    return [*("x" * length for length in lengths), *several, *(f"the {word} ends" for word in several)]


def mixed_texts(tokenizer: dict[str, Any], words: Sequence[str]) -> list[str]:
    """Texts drawn from words, tokens, special tokens, characters of all scripts and blanks of all kinds."""
    chance = random.Random(SEED)  # noqa: S311 (nothing here is secret)
    tokens = [token.removeprefix("##") for token in tokens_of(tokenizer)]
    special = special_tokens(tokenizer) or [""]
    return ["".join(_pieces(chance, words, tokens, special)) for _ in range(MIXED)]


def _pieces(
    chance: random.Random, words: Sequence[str], tokens: Sequence[str], special: Sequence[str]
) -> Iterator[str]:
    for _ in range(chance.randint(1, PIECES)):
        kind = chance.random()
        if kind < 0.5:
            piece = chance.choice(words)
        elif kind < 0.8:
            piece = chance.choice(tokens)
        elif kind < 0.85:
            piece = chance.choice(special)
        else:
            piece = chr(
                chance.choice(
                    (chance.randint(32, 0x2FF), chance.randint(0x300, 0xD7FF), chance.randint(0xE000, 0x1FFFF))
                )
            )
        yield piece.swapcase() if chance.random() < 0.3 and piece.isascii() else piece
        yield chance.choice(BLANKS) if chance.random() < 0.5 else " "


def _plain(token: str) -> str:
    """What stands in a text for a token: without the marks of what continues a word, or begins one."""
    return token.removeprefix("##").removeprefix("\u2581").removeprefix("\u0120")


def _parts(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), max(1, size))]


def _joined(words: Sequence[str]) -> list[str]:
    return [" ".join(words[start : start + WORDS]) for start in range(0, len(words), WORDS)]
