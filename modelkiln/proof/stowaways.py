"""Faults in the files that alter no answer: data that nothing reads, and texts that can be read in two ways."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln.artifact import MANIFEST, TOKENIZER, seal
from modelkiln.files import read_json, write_text
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, copy_good, sealed
from modelkiln.proof.table import encoder_with_table
from modelkiln.tasks.keywords import STOP_WORDS
from modelkiln.vocabulary import VECTORS, WORDS

SIZE = 10_000_000  # bytes
FIELD = b"\xba\x3e"  # of a protobuf: number 999, with a length
MEGABYTE = 1_000_000
OTHER_NAME = "vocab\u202eyral"
STRANGER = "jane doe 91000"


def _unsealed(alter: Callable[[Good, Path], None]) -> Callable[[Good, Path], None]:
    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        alter(good, folder)

    return make


def _in_the_graph(good: Good, folder: Path) -> None:
    """Where its format takes it: a field that no reader knows, an entry of the archive, the weights' file's end."""
    graph = folder / next(iter(good.manifest.encoders.values())).graph
    if graph.suffix == ".onnx":
        with graph.open("ab") as file:
            file.write(FIELD + _varint(SIZE) + bytes(SIZE))
    elif graph.suffix == ".xml":
        with graph.with_suffix(".bin").open("ab") as file:
            file.write(bytes(SIZE))
    elif zipfile.is_zipfile(graph):
        with zipfile.ZipFile(graph, "a") as archive:
            archive.writestr("encoder/extra/data.bin", bytes(SIZE))
    else:
        raise DoesNotApplyError("the graph's format is not known here")


def _varint(number: int) -> bytes:
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _behind_the_table(good: Good, folder: Path) -> None:
    with (folder / encoder_with_table(good)[1] / VECTORS).open("ab") as file:
        file.write(bytes(SIZE))


def _more_words(words: Callable[[list[str]], list[str]]) -> Callable[[Good, Path], None]:
    """Further words, with the vectors of those that are there."""

    def alter(good: Good, folder: Path) -> None:
        import numpy as np

        table = folder / encoder_with_table(good)[1]
        head: dict[str, Any] = read_json(table / WORDS, "the vocabulary")
        vectors = np.load(table / VECTORS)
        more = words(head["words"])
        write_text(table / WORDS, json.dumps({**head, "words": [*head["words"], *more]}, ensure_ascii=False) + "\n")
        np.save(table / VECTORS, np.concatenate([vectors, vectors[: len(more)]]))

    return alter


def _key_twice(good: Good, folder: Path) -> None:
    path = folder / "task" / STOP_WORDS
    if not path.exists():
        raise DoesNotApplyError(f"the task {good.manifest.task} has no stop words")
    write_text(path, '{"english": [],' + path.read_text(encoding="utf-8").lstrip("{"))


def _precision_twice(good: Good, folder: Path) -> None:  # noqa: ARG001 (as the others)
    path = folder / MANIFEST
    write_text(path, '{"precision": "int8",' + path.read_text(encoding="utf-8").lstrip("{"))


def _room_in(name: str) -> Callable[[Good, Path], None]:
    """Another form of the same JSON: 1 MB of blanks in it, where anything could be hidden."""

    def alter(good: Good, folder: Path) -> None:  # noqa: ARG001 (as the others)
        path = folder / name
        if not path.exists():
            raise DoesNotApplyError(f"the artifact has no {name}")
        path.write_bytes(path.read_bytes().rstrip() + b" " * MEGABYTE + b"\n")

    return alter


def _table_elsewhere(good: Good, folder: Path) -> None:
    """Under a name that looks like another one where it is printed."""
    copy_good(good, folder)
    place = encoder_with_table(good)[1]
    (folder / place).rename(folder / OTHER_NAME)
    encoders = {
        name: replace(spec, vocabulary=OTHER_NAME if spec.vocabulary else None)
        for name, spec in good.manifest.encoders.items()
    }
    seal(folder, replace(good.manifest, encoders=encoders))


def _folder(good: Good, folder: Path) -> None:  # noqa: ARG001
    (folder / "more").mkdir()


def _linked_folder(good: Good, folder: Path) -> None:
    (folder / "weights").symlink_to(good.source.resolve(), target_is_directory=True)


BYTES = ("artifact: every byte", "artifact: manifest")
FORM = ("artifact: texts are as compile writes them",)
FAULTS = (
    Fault("graph-with-more", "10 MB in the graph's files that nothing reads", ("artifact",), sealed(_in_the_graph)),
    Fault(
        "table-with-more",
        "10 MB behind the table's vectors",
        ("serving",),
        sealed(_behind_the_table),
        loads=False,
    ),
    Fault(
        "word-not-asked-for",
        "a word in the table that nobody asked for, with another's vector",
        ("vectors: compiled vocabulary",),
        sealed(_more_words(lambda words: [STRANGER])),  # noqa: ARG005
    ),
    Fault(
        "word-twice",
        "a word that is in the table twice, with two vectors",
        ("serving",),
        sealed(_more_words(lambda words: words[-1:])),
        loads=False,
    ),
    Fault(
        "key-twice", "a language twice among the stop words", ("resources", "serving"), sealed(_key_twice), loads=False
    ),
    Fault("tokenizer-with-room", "1 MB of blanks in the tokenizer's JSON", FORM, sealed(_room_in(TOKENIZER))),
    Fault("list-with-room", "1 MB of blanks in the stop words' JSON", FORM, sealed(_room_in(f"task/{STOP_WORDS}"))),
    Fault("table-elsewhere", "a table under a name that a terminal turns around", FORM, _table_elsewhere),
    Fault("manifest-key-twice", "a manifest that says two precisions", BYTES, _unsealed(_precision_twice), loads=False),
    Fault("folder-added", "an empty folder that the manifest does not list", BYTES, _unsealed(_folder), loads=False),
    Fault("folder-linked", "a link to the source's folder", BYTES, _unsealed(_linked_folder), loads=False),
)
