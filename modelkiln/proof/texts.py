"""Faults before the graph: the tokenizer, and where texts are cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln.artifact import TOKENIZER, seal
from modelkiln.files import read_json, to_json, write_text
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, copy_good, longest, with_envelope, without_table


def _tokenizer(alter: Callable[[dict[str, Any]], bool], why_not: str) -> Callable[[Good, Path], None]:
    """Makes an artifact with an altered tokenizer.json, without a table.

    Args:
        alter: Alters what the file says in place, and says whether it could.
        why_not: Said where it could not.
    """

    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        said = read_json(folder / TOKENIZER, "the tokenizer")
        if not alter(said):
            raise DoesNotApplyError(why_not)
        write_text(folder / TOKENIZER, to_json(said))
        _seal_without_table(good, folder)

    return make


def _seal_without_table(good: Good, folder: Path, max_length: int | None = None) -> None:
    for spec in good.manifest.encoders.values():
        if spec.vocabulary:
            shutil.rmtree(folder / spec.vocabulary)
    manifest = without_table(good.manifest)
    seal(folder, with_envelope(manifest, max_length=max_length) if max_length else manifest)


def _cut_at(length: Callable[[int], int]) -> Callable[[Good, Path], None]:
    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        _seal_without_table(good, folder, length(longest(good)))

    return make


def _cut_phrases(good: Good, folder: Path) -> None:
    """At half of what the other encoders take, where there are several."""
    (*others, last) = good.manifest.encoders
    if not others:
        raise DoesNotApplyError("the artifact has only one encoder")
    copy_good(good, folder)
    spec = good.manifest.encoders[last]
    shorter = {**good.manifest.encoders, last: replace(spec, max_length=spec.max_length // 2)}
    seal(folder, replace(good.manifest, encoders=shorter))


def _normalisers(said: dict[str, Any]) -> list[dict[str, Any]]:
    """What the tokenizer does to the characters, step by step."""
    own = said["normalizer"] or {}
    return list(own.get("normalizers", [own]))


def _keep_case(said: dict[str, Any]) -> bool:
    steps = _normalisers(said)
    found = [step for step in steps if step.get("lowercase") or step.get("type") == "Lowercase"]
    for step in found:
        if "lowercase" in step:
            # Left to itself (None) BERT's goes by the case whether it strips accents.
            step.update(lowercase=False, strip_accents=step["strip_accents"] is not False)
        else:
            step.update(type="Replace", pattern={"String": "\0"}, content="")
    return bool(found)


def _keep_accents(said: dict[str, Any]) -> bool:
    found = [
        step
        for step in _normalisers(said)
        if step.get("strip_accents") or (step.get("strip_accents", False) is None and step.get("lowercase"))
    ]
    for step in found:
        step["strip_accents"] = False
    return bool(found)


def _run_characters_together(said: dict[str, Any]) -> bool:
    found = [step for step in _normalisers(said) if step.get("handle_chinese_chars")]
    for step in found:
        step["handle_chinese_chars"] = False
    return bool(found)


def _other_ids(said: dict[str, Any]) -> bool:
    """The ordinary tokens' ids, each moved on to the next token; the special ones keep theirs."""
    special = {token["content"] for token in said["added_tokens"]}
    vocabulary = said["model"].get("vocab")
    if isinstance(vocabulary, dict):
        names = [token for token in vocabulary if token not in special]
        ids = [vocabulary[token] for token in names]
        vocabulary.update(zip(names, ids[1:] + ids[:1], strict=True))
    elif isinstance(vocabulary, list):  # (token, score), the id is the place
        places = [place for place, (token, _) in enumerate(vocabulary) if token not in special]
        entries = [vocabulary[place] for place in places]
        for place, entry in zip(places, entries[1:] + entries[:1], strict=True):
            vocabulary[place] = entry
    return bool(vocabulary)


def _no_special_tokens(said: dict[str, Any]) -> bool:
    from tokenizers import Tokenizer

    had = bool(Tokenizer.from_str(json.dumps(said)).encode("").ids)
    said["post_processor"] = None
    return had


FAULTS = (
    Fault(
        "case-kept",
        "lower-casing off",
        ("vectors", "keywords"),
        _tokenizer(_keep_case, "the tokenizer does not lower the case"),
    ),
    Fault(
        "accents-kept",
        "accents not stripped",
        ("hostile",),
        _tokenizer(_keep_accents, "the tokenizer does not strip accents"),
    ),
    Fault(
        "characters-run-together",
        "an unsegmented script's characters taken for one word",
        ("hostile",),
        _tokenizer(_run_characters_together, "the tokenizer does not set such characters apart"),
    ),
    Fault(
        "other-tokenizer",
        "another model's tokenizer: the same words, other ids",
        ("vectors",),
        _tokenizer(_other_ids, "the tokenizer has no vocabulary"),
    ),
    Fault(
        "no-special-tokens",
        "CLS and SEP left out",
        ("vectors",),
        _tokenizer(_no_special_tokens, "the tokenizer adds no special tokens"),
    ),
    Fault("cut-at-half", "texts cut off at half the length", ("vectors",), _cut_at(lambda most: most // 2)),
    Fault("one-encoder-cut", "texts cut off at half the length by one of the encoders", ("vectors",), _cut_phrases),
    Fault("cut-one-short", "texts cut off one token early", ("vectors",), _cut_at(lambda most: most - 1)),
)
