"""Texts of an exact number of tokens, and the numbers that are worth trying."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelkiln.encoder import Encoder

SHORT_WORD = "a"  # one token in every tokenizer that has Latin letters
# Up to here each length is tried, and then every fifth, which meets every remainder of 4, 8 and 16. Further up for a
# graph that the checks can't compile again, so that it may have been edited.
EVERY, EVERY_UNPROVEN = 128, 256


@dataclass(frozen=True)
class Bucket:
    """Numbers of tokens that are judged together."""

    first: int
    last: int

    def __contains__(self, tokens: int) -> bool:
        return self.first <= tokens <= self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last} tokens" if self.last < sys.maxsize else f"from {self.first} tokens"


BUCKETS = (Bucket(1, 8), *(Bucket(2**power + 1, 2 ** (power + 1)) for power in range(3, 9)), Bucket(513, sys.maxsize))


def lengths_of(longest: int, special: int, every: int) -> list[int]:
    """Numbers of tokens, special ones included, in ascending order: from a text of one token to twice the longest.

    Args:
        longest: What the encoder takes; what is longer is cut off there.
        special: Tokens that the tokenizer adds to every text.
        every: EVERY or EVERY_UNPROVEN.
    """
    edges = {longest - 2, longest - 1, longest, longest + 1, 2 * longest, longest // 2, longest // 2 + 1}
    powers = {2**power + step for power in range(3, 13) for step in (-1, 0, 1) if 2**power + step <= longest}
    steps = {*range(every, longest, 5)}
    first = {*range(special + 1, min(every, longest) + 1)}
    return sorted(length for length in edges | powers | steps | first if length > special)


def text_of_length(encoder: Encoder, words: Sequence[str], length: int) -> str:
    """A text of exactly so many tokens: words as far as they fit, another choice for each length, then short ones."""
    special = encoder.count_tokens([""])[0]
    words = [*words[length % len(words) :], *words[: length % len(words)]]
    counts = encoder.count_tokens(words[:length])
    chosen: list[str] = []
    left = length - special
    for word, count in itertools.cycle(zip(words, counts, strict=False)):
        if count - special > left:
            break
        chosen.append(word)
        left -= count - special
    return " ".join(chosen + [SHORT_WORD] * left)


def words_of(texts: Sequence[str], most: int = 400) -> list[str]:
    """So many different words of the texts, as they stand there, spread over the alphabet."""
    words = sorted({word for text in texts for word in text.split()})
    return words[:: -(-len(words) // most)]
