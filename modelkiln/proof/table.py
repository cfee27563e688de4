"""The compiled vocabulary of a broken artifact, made anew by what is broken, as its compiling would have made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from modelkiln.artifact import TOKENIZER, graph_digest, read_manifest, seal
from modelkiln.encoder import load_encoders
from modelkiln.files import read_json, write_text
from modelkiln.proof.fault import DoesNotApplyError, Good, without_table
from modelkiln.vocabulary import VECTORS, WORDS


def encoder_with_table(good: Good) -> tuple[str, str]:
    """The encoder that has a compiled vocabulary, and its folder in the artifact.

    Raises:
        DoesNotApplyError: none has.
    """
    for name, spec in good.manifest.encoders.items():
        if spec.vocabulary:
            return name, spec.vocabulary
    raise DoesNotApplyError("the artifact has no compiled vocabulary")


def renew_table(good: Good, folder: Path, tokens: Collection[int] = ()) -> None:
    """Gives a sealed artifact the good one's words with its own vectors, if the good one has a table; seals it again.

    Of the real model's 22 thousand words only those are encoded whose vectors can have changed.

    Args:
        good: What the artifact was made of.
        folder: The artifact, sealed with or without a table.
        tokens: The ids that the artifact's graph takes for something else than the good one's does. A word with one
            of them is encoded, and so is a word that the artifact's tokenizer gives other ids.
    """
    import numpy as np

    try:
        name, place = encoder_with_table(good)
    except DoesNotApplyError:
        return
    manifest = read_manifest(folder)
    encoder = load_encoders(folder, without_table(manifest))[name]
    shutil.copytree(good.folder / place, folder / place, dirs_exist_ok=True)
    words = read_json(folder / place / WORDS, "the vocabulary")["words"]
    ids = zip(_ids(good.folder, words), _ids(folder, words), strict=True)
    rows = [row for row, (before, after) in enumerate(ids) if before != after or not set(tokens).isdisjoint(after)]
    vectors = np.load(folder / place / VECTORS)
    vectors[rows] = encoder.encode([words[row] for row in rows])
    np.save(folder / place / VECTORS, vectors)
    graph = graph_digest(encoder.spec.graph, manifest.sha256s())
    write_text(folder / place / WORDS, json.dumps({"graph": graph, "words": words}, ensure_ascii=False) + "\n")
    encoders = {**manifest.encoders, name: replace(manifest.encoders[name], vocabulary=place)}
    seal(folder, replace(manifest, encoders=encoders))


def _ids(folder: Path, words: list[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    return [encoding.ids for encoding in tokenizer.encode_batch(words)]
