"""Whatever an artifact's files are changed into, loading it ends: with its answers, or with one line.

A file is changed at random and the artifact sealed anew, as somebody would who means harm, so that the readers see it.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import MANIFEST, read_manifest, seal

TEXT = "The council approved the new tram line on Tuesday, zweitausend and one."
# What stands in a value's place: other types, and the edges of its own.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**200, 1.5, 1e308, float("nan"), float("inf")),
    *("", " ", "a", "../a", "/dev/zero", "\0", "\ud800", "x" * 5000, "\u202e"),
    *([], {}, [[]], [None], {"": None}, {"a": {"a": {}}}, ["a"], [1], list(range(500))),
)
PATIENCE = 120  # seconds: a load takes a fraction of one, and a hang never ends


@contextmanager
def impatient() -> Iterator[None]:
    def give_up(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in it with every key."""
    found = []
    if isinstance(data, (dict, list)):
        for key in data if isinstance(data, dict) else range(len(data)):
            found.append((data, key))
            if len(found) < 3000:
                found += places(data[key])
    return found


def changed_json(text: str, chance: random.Random) -> str:
    """Something in it replaced, taken away, added, or put twice; or other letters."""
    if chance.random() < 0.2:
        return changed_bytes(text.encode(), chance).decode("utf-8", "surrogateescape")
    data = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        if chance.random() < 0.05 or not places(data):
            return json.dumps(chance.choice(VALUES))
        container, key = chance.choice(places(data))
        how = chance.randrange(4)
        if how == 0 and isinstance(container, (dict, list)):
            del container[key]
        elif how == 1 and isinstance(container, dict):
            container[chance.choice(("extra", "", key + "_"))] = chance.choice(VALUES)
        elif how == 2 and isinstance(container, list):
            container.insert(key, chance.choice((container[key], *VALUES)))
        else:
            container[key] = chance.choice(VALUES)
    return json.dumps(data)


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some of them others, cut off, or doubled."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        at = chance.randrange(len(found) or 1)
        how = chance.randrange(4)
        if how == 0 and found:
            found[at] = chance.randrange(256)
        elif how == 1:
            del found[at:]
        elif how == 2:
            found[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            found[at:at] = found[at : at + 64]
    return bytes(found)


def spoil(name: str) -> Callable[[Path, random.Random], None]:
    """Changes a file of the artifact, and seals it."""

    def change(folder: Path, chance: random.Random) -> None:
        manifest, path = read_manifest(folder), folder / name
        if name.endswith(".json"):
            text = changed_json(path.read_text(), chance)
            path.write_bytes(text.encode("utf-8", "surrogateescape" if chance.random() < 0.5 else "replace"))
        else:
            path.write_bytes(changed_bytes(path.read_bytes(), chance))
        seal(folder, manifest)

    return change


def spoil_manifest(folder: Path, chance: random.Random) -> None:
    from test_artifact import sealed

    path = folder / MANIFEST
    path.write_bytes(changed_json(path.read_text(), chance).encode("utf-8", "replace"))
    try:
        sealed(folder, lambda _: None)
    except (ValueError, TypeError, AttributeError, KeyError):
        return  # no manifest any more


SPOILS = {
    "manifest.json": spoil_manifest,
    **{name: spoil(name) for name in ("task/stop_words.json", "tokenizer.json", "sbom.json")},
    **{name: spoil(f"vocabulary/{name}") for name in ("words.json", "vectors.npy")},
    "encoder.onnx": spoil("graphs/encoder.onnx"),
}


@pytest.mark.parametrize("times", [25, pytest.param(2000, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", SPOILS)
def test_artifact_with_a_changed_file_loads_or_is_refused(
    name: str, times: int, table_artifact: Path, tmp_path: Path
) -> None:
    said = []
    for number in range(times):
        chance = random.Random(f"{name} {number}")
        folder = tmp_path / "changed"
        shutil.copytree(table_artifact, folder)
        SPOILS[name](folder, chance)
        try:
            with impatient():
                modelkiln.load(folder, cache_mb=0).extract_keywords(TEXT)
        except ModelkilnError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"{name}, change {number}") from error
        shutil.rmtree(folder)
    assert max(map(len, said), default=0) < 3000
    assert len(said) >= (0 if name == "sbom.json" else times // 5)
