"""Faults of the tokenizer that few texts show: a word, a character, a token that is written out.

The compiled vocabulary is made anew by the same tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelkiln.artifact import TOKENIZER, seal
from modelkiln.files import read_json, to_json, write_text
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, copy_good
from modelkiln.proof.table import renew_table
from modelkiln.proof.tokens import rare_words

LONGEST = 60  # characters of a word
FULL_WIDTH = "[\uff01-\uff5e]"  # as Chinese and Japanese texts have Latin letters and digits
SPELLINGS = ("grey", "gray")
LONG_NUMBER = 7  # digits


def _tokenizer(alter: Callable[[dict[str, Any], Any], None]) -> Callable[[Good, Path], None]:
    """Makes an artifact with an altered tokenizer.json.

    Args:
        alter: Alters what the file says in place, given the good tokenizer; raises DoesNotApplyError where it can't.
    """

    def make(good: Good, folder: Path) -> None:
        from tokenizers import Tokenizer

        copy_good(good, folder)
        said = read_json(folder / TOKENIZER, "the tokenizer")
        alter(said, Tokenizer.from_file(str(folder / TOKENIZER)))
        write_text(folder / TOKENIZER, to_json(said))
        seal(folder, good.manifest)
        renew_table(good, folder)

    return make


def _word_piece(said: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer's model."""
    model: dict[str, Any] = said["model"]
    if model.get("type") != "WordPiece":
        raise DoesNotApplyError("the tokenizer is no WordPiece")
    return model


def _trade_ids(said: dict[str, Any], tokenizer: Any) -> None:
    (_, first), (_, second) = rare_words(tokenizer, 2)
    vocabulary = said["model"]["vocab"]
    if isinstance(vocabulary, dict):
        names = [tokenizer.id_to_token(place) for place in (first, second)]
        vocabulary.update(zip(names, (second, first), strict=True))
    else:  # (token, score), the id is the place
        vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]


def _lose_a_word(said: dict[str, Any], tokenizer: Any) -> None:
    ((word, _),) = rare_words(tokenizer, 1)
    del _word_piece(said)["vocab"][word]


def _know_no_long_words(said: dict[str, Any], tokenizer: Any) -> None:  # noqa: ARG001 (as the others)
    _word_piece(said)["max_input_chars_per_word"] = LONGEST


def _special(said: dict[str, Any], token: str) -> dict[str, Any]:
    """What the tokenizer says of a special token."""
    for added in said["added_tokens"]:
        if added["content"] == token and added["special"]:
            return dict(added)
    raise DoesNotApplyError(f"the tokenizer has no special token {token}")


def _forget_a_special_token(said: dict[str, Any], tokenizer: Any) -> None:  # noqa: ARG001
    """That of unknown words: written out in a text, it is split as other words are."""
    said["added_tokens"].remove(_special(said, _word_piece(said)["unk_token"]))


def _know_it_alone(said: dict[str, Any], tokenizer: Any) -> None:
    """Not where a letter stands beside it."""
    special = [added for added in said["added_tokens"] if added["special"]]
    for added in special:
        added["single_word"] = True
    _differ(said, tokenizer, " ".join(f"a{added['content']}b" for added in special))


def _normalise(pattern: dict[str, str], content: str) -> Callable[[dict[str, Any], Any], None]:
    """Does this to a text before all that the tokenizer does to it."""

    def alter(said: dict[str, Any], tokenizer: Any) -> None:
        own = [said["normalizer"]] if said["normalizer"] else []
        step = {"type": "Replace", "pattern": pattern, "content": content}
        said["normalizer"] = {"type": "Sequence", "normalizers": [step, *own]}
        _differ(said, tokenizer, f"a {SPELLINGS[0]} cat, \uff21\uff22\uff23")

    return alter


def _cut_long_numbers(said: dict[str, Any], tokenizer: Any) -> None:
    own = [said["pre_tokenizer"]] if said["pre_tokenizer"] else []
    pattern = {"Regex": f"\\d{{{LONG_NUMBER}}}"}
    step = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    said["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*own, step]}
    _differ(said, tokenizer, "1234567890")


def _differ(said: dict[str, Any], tokenizer: Any, text: str) -> None:
    """Refuses an alteration that this tokenizer does not heed."""
    from tokenizers import Tokenizer

    if Tokenizer.from_str(to_json(said)).encode(text).ids == tokenizer.encode(text).ids:
        raise DoesNotApplyError("the tokenizer makes no difference there")


AREAS = ("tokenizer",)
FAULTS = (
    Fault("words-traded", "two rare words trade ids", AREAS, _tokenizer(_trade_ids)),
    Fault(
        "long-words-unknown",
        f"words of more than {LONGEST} characters become unknown, instead of more than 100",
        AREAS,
        _tokenizer(_know_no_long_words),
    ),
    Fault("word-missing", "one rare word missing from the tokenizer's vocabulary", AREAS, _tokenizer(_lose_a_word)),
    Fault(
        "special-token-forgotten",
        "the token for unknown words, written in a text, is no special token",
        AREAS,
        _tokenizer(_forget_a_special_token),
    ),
    Fault(
        "special-token-alone",
        "special tokens are not known where a letter stands beside them",
        AREAS,
        _tokenizer(_know_it_alone),
    ),
    Fault(
        "full-width-dropped",
        "letters and digits of full width left out of texts",
        AREAS,
        _tokenizer(_normalise({"Regex": FULL_WIDTH}, "")),
    ),
    Fault(
        "spelling-changed",
        f"a step of the normaliser that writes {SPELLINGS[1]} for {SPELLINGS[0]}",
        AREAS,
        _tokenizer(_normalise({"String": SPELLINGS[0]}, SPELLINGS[1])),
    ),
    Fault(
        "long-numbers-cut",
        f"numbers of more than {LONG_NUMBER} digits cut apart",
        AREAS,
        _tokenizer(_cut_long_numbers),
    ),
)
