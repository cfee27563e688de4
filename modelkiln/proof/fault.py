"""What a fault is, and what the makers of broken artifacts share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelkiln.artifact import Manifest, seal


class DoesNotApplyError(Exception):
    """This fault can't be made out of this artifact; says why."""


@dataclass(frozen=True)
class Good:
    """A good artifact, and the uncompiled model that it was compiled from."""

    folder: Path
    source: Path
    manifest: Manifest


@dataclass(frozen=True)
class Fault:
    """One kind of broken artifact."""

    name: str
    meaning: str  # what is wrong, in a few words
    areas: tuple[str, ...]  # how checks' names begin: one has to catch it, or it was caught by luck; the best first
    make: Callable[[Good, Path], None]  # fills an empty folder; raises DoesNotApplyError
    also: tuple[str, ...] = ()  # areas that have to catch it too: what is so wrong that none of them may miss it
    loads: bool = True  # False: refused before anything of it runs, so that every check is an error
    arguments: tuple[str, ...] = ()  # for pytest, where the fault is one of the runtime
    bounds: Mapping[str, float] = field(default_factory=dict)  # in the place of the right ones


def copy_good(good: Good, folder: Path) -> None:
    """Fills the folder with the good artifact's files."""
    shutil.copytree(good.folder, folder, dirs_exist_ok=True)


def sealed(alter: Callable[[Good, Path], None]) -> Callable[[Good, Path], None]:
    """Makes the good artifact with its files altered in place, and sealed as if all were well."""

    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        alter(good, folder)
        seal(folder, good.manifest)

    return make


def without_table(manifest: Manifest) -> Manifest:
    """The manifest of the same artifact without a compiled vocabulary.

    A graph or tokenizer that was compiled wrong makes a wrong table. Without one the graph itself is asked for the
    same vectors, so the answers are those that the wrong table would have given, and making it takes no time.
    """
    return with_envelope(manifest, vocabulary=None)


def with_envelope(manifest: Manifest, **changes: Any) -> Manifest:
    """The manifest with these fields of every encoder's EncoderSpec changed."""
    encoders = {name: replace(spec, **changes) for name, spec in manifest.encoders.items()}
    return replace(manifest, encoders=encoders)


def longest(good: Good) -> int:
    """Tokens of the longest text that the artifact does not cut off."""
    return max(spec.max_length for spec in good.manifest.encoders.values())
