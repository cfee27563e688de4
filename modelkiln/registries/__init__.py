"""Registries: where models are kept as numbered versions of a name, with aliases that move. One file each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from modelkiln import artifact, contents, env, plugins
from modelkiln.contents import COMPILED, MODEL
from modelkiln.errors import ModelkilnError
from modelkiln.files import staged_folder
from modelkiln.locking import locked
from modelkiln.progress import say
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
    digest: str  # the artifact's content digest, or that of contents.json; empty: another system registered it
    kind: str = COMPILED  # see modelkiln.contents
    # What changes while the version stays the same:
    aliases: tuple[str, ...] = field(default=(), compare=False)
    compiled: tuple[str, ...] = field(default=(), compare=False)  # what was compiled from it, as mlflow:NAME/3
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)  # its lineage

    @property
    def ref(self) -> str:
        """As a user would write it, and as the lineage of other versions names it."""
        return f"{self.registry}:{self.name}/{self.version}"


@dataclass(frozen=True)
class Registration:
    """What is to be registered."""

    name: str
    project: str
    kind: str  # see modelkiln.contents
    digest: str
    model: Path  # the folder of the artifact, or of the uncompiled model
    extras: Mapping[str, str]  # files beside it, {path: text}: card, golden samples, verdict
    tags: Mapping[str, str]  # lineage, searchable
    card: str  # Markdown for people


class Registry(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: `options` of conf/registry/<name>.yaml; all have defaults

    def unheeded(self, options: Any) -> str | None:
        """The variable of the environment that names another place than these options, which win; None: none does."""

    def resolve(self, ref: Ref, options: Any) -> Version:
        """The version that an alias or a number stands for now.

        Raises:
            ModelkilnError: there is none, or it is not complete.
        """

    def versions(self, name: str, options: Any) -> list[Version]:
        """The complete versions of a name, oldest first.

        Raises:
            ModelkilnError: the registry knows no such name.
        """

    def find(self, name: str, digest: str, options: Any) -> Version | None:
        """The complete version of that name and digest, or None."""

    def fetch(self, version: Version, dest: Path, options: Any, only: Sequence[str] = ()) -> None:
        """Downloads what a version holds into the empty folder `dest`, as modelkiln.contents says. Verifies nothing.

        Args:
            version: As resolve gave it.
            dest: Exists, and is thrown away unless everything goes well.
            options: An instance of this registry's Options.
            only: The files that are wanted, such as `verdict.json` or `model/manifest.json`; empty: all. One that the
                version does not have is left out.
        """

    def register(self, registration: Registration, options: Any) -> Version:
        """Registers a model, once: the version of that name and digest that is complete is returned as it is.

        Until the version is complete and what the registry holds has been verified, no reader sees it; what a crash
        left behind is completed by the next call.
        """

    def set_alias(self, version: Version, alias: str, options: Any, still: str | None = None) -> None:
        """Moves an alias to a version. What it stood for before is that version's tag `previous.<alias>`.

        Args:
            version: As resolve gave it.
            alias: Its name.
            options: An instance of this registry's Options.
            still: The number of the version that it has to stand for; None: whatever it stands for.

        Raises:
            ModelkilnError: it stands for another one by now.
        """

    def link(self, source: Version, compiled: Version, options: Any) -> None:
        """Adds a compiled version, which may be in another registry, to `source.compiled`, once; none gets lost."""


@dataclass(frozen=True)
class Place:
    """A registry, and how to reach it."""

    name: str  # a module in this folder
    registry: Registry
    options: Any  # an instance of its Options


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


def project_place(name: str | None = None) -> Place:
    """The registry `name`, or the project's own: the one place where it is decided which registry is meant.

    That is what params.yaml's `upload` says, where it is about that registry; else what the environment says; MLflow
    where no name is given. Where the environment names another one than params.yaml, a line says so.
    """
    upload = _upload_of_the_project()
    chosen = name or (upload.registry if upload else "mlflow")
    registry = load(chosen)
    if upload is None or upload.registry != chosen:
        return Place(chosen, registry, registry.Options())
    from modelkiln import params

    place = Place(chosen, registry, params.options("registries", chosen, upload.options, "upload.options"))
    if variable := registry.unheeded(place.options):
        say(f"{chosen}: the registry of {params.PARAMS}, and not that of {variable}, which is another one")
    return place


def _upload_of_the_project() -> Any:
    """The upload section of params.yaml; None where there is no such file, or one of another project's."""
    path = Path("params.yaml")
    if not path.exists():
        return None
    try:
        import yaml

        from modelkiln import params
    except ImportError:  # serving does without
        return None
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    ours = isinstance(data, dict) and {"download", "compile", "validate", "upload"} <= set(data)
    return params.load().upload if ours else None


def find_version(text: str) -> tuple[Version, Place]:
    """The version that a user means by `NAME/3`, `NAME@champion`, or the same behind a registry's name and a colon.

    Raises:
        ModelkilnError: there is no such version, or it is none.
    """
    registry = text.partition(":")[0] if ":" in text else None
    place = project_place(registry)
    ref = parse_ref(text if registry else f"{place.name}:{text}")
    if ref is None:
        raise ModelkilnError(f"{text!r}: a path, expected a registered version such as keywords-minilm/3")
    return place.registry.resolve(ref, place.options), place


def folder_of(ref: str) -> Path:
    """The artifact's folder that `ref` stands for: itself, or the cache's copy of a registered version."""
    registered = parse_ref(ref)
    return fetch_cached(registered) if registered else Path(ref)


def fetch_cached(ref: Ref) -> Path:
    """The folder of a registered version's artifact, downloaded and verified unless the cache has it."""
    place = project_place(ref.registry)
    version = place.registry.resolve(ref, place.options)
    if version.kind != COMPILED:
        raise ModelkilnError(f"{ref}: a {version.kind} model, and only what modelkiln compiled can be loaded")
    folder = env.cache_folder() / version.digest
    with locked(env.cache_folder() / "locks" / version.digest):
        try:
            artifact.verify(folder / MODEL, version.digest)
        except ModelkilnError:  # not there yet, or no longer what it was: fetched anew
            fetch_verified(version, folder, place.options)
    return folder / MODEL


def fetch_verified(version: Version, dest: Path, options: Any) -> None:
    """Puts all that a version holds at `dest`, once it is there and verified; until then `dest` stays as it is.

    Raises:
        ModelkilnError: the registry failed, or what came is not what was registered.
    """
    with staged_folder(dest) as partial:
        load(version.registry).fetch(version, partial, options)
        if version.digest:
            contents.verify(partial, version.kind, version.digest)


def require_still(name: str, alias: str, now: str | None, still: str | None) -> None:
    """Raises a ModelkilnError where an alias has been moved since somebody looked; see Registry.set_alias."""
    if still is not None and now != still:
        stands = f"stands for version {now}" if now else "stands for nothing"
        raise ModelkilnError(
            f"{name}@{alias} was version {still} a moment ago, and {stands} now: somebody else has moved it; nothing "
            f"was changed, look at it and decide anew: modelkiln versions {name}"
        )


def require_name(text: str, what: str) -> None:
    """Raises a ModelkilnError where `text` is no name of a registered model or an alias; `what` says whose it is."""
    if not re.fullmatch(REGISTERED_NAME, text):
        raise ModelkilnError(f"{what} may have letters, digits, dots, dashes and underscores, found {text!r}")
