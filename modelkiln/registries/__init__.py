"""Registries: where compiled models are kept as numbered versions of a name, with aliases that move. One file each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from modelkiln import artifact, env, plugins
from modelkiln.errors import ModelkilnError
from modelkiln.files import staged_folder
from modelkiln.schema import REGISTERED_NAME


@dataclass(frozen=True)
class Ref:
    """What a user writes: `mlflow:keywords-minilm@champion` or `mlflow:keywords-minilm/3`."""

    registry: str
    name: str
    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return f"{self.registry}:{self.name}" + (f"/{self.version}" if self.version else f"@{self.alias}")


@dataclass(frozen=True)
class Version:
    """A complete version in a registry."""

    registry: str
    location: str  # the registry's address, without credentials
    name: str
    version: str
    digest: str  # the artifact's content digest


@dataclass(frozen=True)
class Registration:
    """What is to be registered."""

    name: str
    project: str
    digest: str
    folder: Path  # the artifact
    extras: Mapping[str, str]  # files beside the artifact, {path: text}: card and golden samples
    tags: Mapping[str, str]  # lineage, searchable
    card: str  # Markdown for people


class Registry(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: `options` of conf/registry/<name>.yaml; all have defaults

    def resolve(self, ref: Ref, options: Any) -> Version:
        """The version that an alias or a number stands for now.

        Raises:
            ModelkilnError: there is none, or it is not complete.
        """

    def fetch(self, version: Version, dest: Path, options: Any) -> None:
        """Downloads the artifact of a version into the empty folder `dest`. The caller verifies it."""

    def find(self, name: str, digest: str, options: Any) -> Version | None:
        """The complete version of that name that holds the artifact of that digest, or None."""

    def register(self, registration: Registration, options: Any) -> Version:
        """Registers an artifact, once: the version that holds it already is returned as it is.

        Until the version is complete and what the registry holds has been verified, no reader sees it; what a crash
        left behind is completed by the next call.
        """

    def set_alias(self, version: Version, alias: str, options: Any) -> None:
        """Moves an alias to a version."""


def load(name: str) -> Registry:
    """The registry of that name; a ModelkilnError lists the known ones."""
    return cast(Registry, plugins.load("registries", name))


def parse_ref(text: str) -> Ref | None:
    """The registered version that `text` names, or None where it is no such reference but, say, a path.

    Raises:
        ModelkilnError: it begins like one, but goes on like none.
    """
    registry, colon, rest = text.partition(":")
    # One letter and a colon is a drive of Windows.
    if not colon or len(registry) < 2 or not registry.isidentifier() or Path(text).exists():
        return None
    if match := re.fullmatch(rf"({REGISTERED_NAME})(?:@({REGISTERED_NAME})|/([0-9]+))", rest):
        plugins.load("registries", registry)
        return Ref(registry, match[1], version=match[3], alias=match[2])
    raise ModelkilnError(
        f"{text!r}: expected REGISTRY:NAME@ALIAS or REGISTRY:NAME/VERSION, as mlflow:keywords-minilm@champion"
    )


def folder_of(ref: str) -> Path:
    """The artifact's folder that `ref` stands for: itself, or the cache's copy of a registered version."""
    registered = parse_ref(ref)
    return fetch_cached(registered) if registered else Path(ref)


def fetch_cached(ref: Ref) -> Path:
    """The folder of a registered version's artifact, downloaded and verified unless the cache has it."""
    registry = load(ref.registry)
    options = registry.Options()
    version = registry.resolve(ref, options)
    folder = env.cache_folder() / version.digest
    with locked(env.cache_folder() / "locks" / version.digest):
        try:
            artifact.verify(folder, version.digest)
        except ModelkilnError:  # not there yet, or no longer what it was: fetched anew
            with staged_folder(folder) as partial:
                registry.fetch(version, partial, options)
                artifact.verify(partial, version.digest)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps out the other threads and processes of this machine that lock the same path, until the block ends."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
