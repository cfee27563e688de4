"""Faults in the files: bytes, what is there, what the manifest says, the compiled vocabulary, the task's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln.artifact import MANIFEST, seal
from modelkiln.files import read_json, write_text
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, copy_good
from modelkiln.proof.table import encoder_with_table
from modelkiln.tasks.keywords import STOP_WORDS
from modelkiln.vocabulary import VECTORS, WORDS

SEED = 0
BYTES = ("artifact: every byte", "artifact: manifest")
NOISE = 0.01  # the length of what is added to a vector of the table, relative to the vector's


def byte_faults(good: Good) -> tuple[Fault, ...]:
    """One flipped byte in the middle of each file, the manifest's own included: a fault for each of the files."""
    return tuple(
        Fault(f"byte-flipped:{name}", "one byte flipped", BYTES, _unsealed(name, _flip), loads=False)
        for name in (*sorted(good.manifest.files), MANIFEST)
    )


def _unsealed(name: str, alter: Callable[[Path], None]) -> Callable[[Good, Path], None]:
    """Makes the good artifact with one file altered, and the good manifest."""

    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        alter(folder / (name or next(iter(good.manifest.encoders.values())).graph))

    return make


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 1]))


def _add(path: Path) -> None:
    path.with_name("more.txt").write_text("more\n", encoding="utf-8")


def _cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 9 // 10)


def _remove(path: Path) -> None:
    path.unlink()


def _carry_weights(good: Good, folder: Path) -> None:
    """Under a name that does not say so."""
    copy_good(good, folder)
    found = sorted(good.source.rglob("*.safetensors"))
    if not found:
        raise DoesNotApplyError("the source has no safetensors")
    shutil.copy(found[0], folder / "task" / "data.bin")
    seal(folder, good.manifest)


def _other_revision(good: Good, folder: Path) -> None:
    copy_good(good, folder)
    seal(folder, replace(good.manifest, source={**good.manifest.source, "revision": "0" * 40}))


def _stop_words(good: Good, folder: Path) -> None:
    """Every second one is missing."""
    copy_good(good, folder)
    path = folder / "task" / STOP_WORDS
    if not path.exists():
        raise DoesNotApplyError(f"the task {good.manifest.task} has no stop words")
    said = read_json(path, "the stop words")
    write_text(path, json.dumps({language: words[::2] for language, words in said.items()}))
    seal(folder, good.manifest)


def _with_table(alter: Callable[[list[str], Any], None]) -> Callable[[Good, Path], None]:
    """Makes the good artifact with its table altered in place: the list of words, the array of vectors."""

    def make(good: Good, folder: Path) -> None:
        import numpy as np

        copy_good(good, folder)
        table = folder / encoder_with_table(good)[1]
        head = read_json(table / WORDS, "the vocabulary")
        vectors = np.load(table / VECTORS)
        alter(head["words"], vectors)
        write_text(table / WORDS, json.dumps(head, ensure_ascii=False) + "\n")
        np.save(table / VECTORS, vectors)
        seal(folder, good.manifest)

    return make


def _swap_two(words: list[str], vectors: Any) -> None:  # noqa: ARG001 (as the others)
    """Two rare words, a third and two thirds down the alphabet."""
    first, second = len(words) // 3, 2 * len(words) // 3
    words[first], words[second] = words[second], words[first]


def _shift(words: list[str], vectors: Any) -> None:  # noqa: ARG001
    words[:] = words[1:] + words[:1]


def _of_another_model(words: list[str], vectors: Any) -> None:  # noqa: ARG001
    import numpy as np

    noise = np.random.default_rng(SEED).standard_normal(vectors.shape).astype(vectors.dtype)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors += NOISE * lengths * noise / np.linalg.norm(noise, axis=1, keepdims=True)


def _within_the_bounds(words: list[str], vectors: Any) -> None:
    """Ten rows by as much as nobody's bounds forbid, which settles which of two near words comes first."""
    for row in range(0, len(words), max(1, len(words) // 10)):
        vectors[row] += WITHIN if row % 2 else -WITHIN


def _of_another_graph(good: Good, folder: Path) -> None:
    copy_good(good, folder)
    path = folder / encoder_with_table(good)[1] / WORDS
    head = read_json(path, "the vocabulary")
    write_text(path, json.dumps({**head, "graph": "0" * 64}, ensure_ascii=False) + "\n")
    seal(folder, good.manifest)


WITHIN = 9e-6  # in each component; the graph's rounding is a twentieth of it
TABLE = ("vectors: compiled vocabulary",)
FAULTS = (
    Fault("file-added", "a file that the manifest does not list", BYTES, _unsealed("", _add), loads=False),
    Fault("file-missing", "the graph missing", BYTES, _unsealed("", _remove), loads=False),
    Fault("file-cut-short", "the graph's last tenth missing", BYTES, _unsealed("", _cut_short), loads=False),
    Fault("manifest-missing", "no manifest", BYTES, _unsealed(MANIFEST, _remove), loads=False),
    Fault("weights-carried", "the original weights beside the graph, sealed", ("artifact",), _carry_weights),
    Fault("other-revision", "an artifact of another revision of the source", ("artifact",), _other_revision),
    Fault("stop-words-changed", "half of the stop words missing, sealed", ("keywords", "artifact"), _stop_words),
    Fault("table-two-swapped", "two rare words of the table swapped, sealed", TABLE, _with_table(_swap_two)),
    Fault("table-shifted", "each word of the table with its neighbour's vector", TABLE, _with_table(_shift)),
    Fault("table-of-another-model", "the table 1% off, sealed", TABLE, _with_table(_of_another_model)),
    Fault("table-within-bounds", "ten rows of the table off by 9e-6, sealed", TABLE, _with_table(_within_the_bounds)),
    Fault(
        "table-of-another-graph",
        "a table that says it is another graph's",
        ("serving",),
        _of_another_graph,
        loads=False,
    ),
)
