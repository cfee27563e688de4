"""Texts of an exact number of tokens, and the numbers that are worth trying."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from modelkiln.encoder import Encoder

SHORT_WORD = "a"  # one token in every tokenizer that has Latin letters
EVERY = 128  # up to here each length is tried, and then every third, which meets every remainder of 4, 8 and 16
BUCKETS = ((0, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 256), (257, 512), (513, 10**9))


def lengths_of(longest: int, special: int) -> list[int]:
    """Numbers of tokens, special ones included, in ascending order: from a text of one token to twice the longest.

    Args:
        longest: What the encoder takes; what is longer is cut off there.
        special: Tokens that the tokenizer adds to every text.
    """
    edges = {longest - 2, longest - 1, longest, longest + 1, 2 * longest, longest // 2, longest // 2 + 1}
    powers = {2**power + step for power in range(3, 13) for step in (-1, 0, 1) if 2**power + step <= longest}
    steps = {*range(EVERY, longest, 3)}
    every = {*range(special + 1, min(EVERY, longest) + 1)}
    return sorted(length for length in edges | powers | steps | every if length > special)


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
