"""`registry`: a trained model in a registry, with the golden samples and the card that it was registered with."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelkiln import params, registries
from modelkiln.contents import CONTENTS, MODEL, TRAINED
from modelkiln.errors import ModelkilnError
from modelkiln.files import folder_digest, relative_files
from modelkiln.registries import Ref


@dataclass(frozen=True)
class Options:
    """Which version of which registered model."""

    registry: str  # a module of modelkiln/registries
    name: str
    version: int | None = None  # this one
    alias: str | None = None  # or what this stands for when the stage runs; DVC can't see it move
    options: dict[str, Any] = field(default_factory=dict)  # the registry's own

    def __post_init__(self) -> None:
        if (self.version is None) is (self.alias is None):
            raise ValueError(f"expected a version or an alias, found {'neither' if self.version is None else 'both'}")


def fetch(dest: Path, options: Options, files: list[str]) -> tuple[str, str]:
    """Fetches and verifies a version; see Source.fetch. The id is the version that an alias stood for.

    The golden samples go to golden/ and the card beside the model's files.
    """
    registry_options = params.options("registries", options.registry, options.options, "download.sources.registry")
    registry = registries.load(options.registry)
    wanted = str(options.version) if options.version is not None else None
    version = registry.resolve(Ref(options.registry, options.name, wanted, options.alias), registry_options)
    if version.kind != TRAINED:
        raise ModelkilnError(f"{version.ref}: a {version.kind} model, expected one that is to be compiled")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=dest.parent) as scratch:
        fetched = Path(scratch) / "version"
        registries.fetch_verified(version, fetched, registry_options)
        for name in relative_files(fetched):
            inside = name.removeprefix(f"{MODEL}/")
            if name == CONTENTS or (files and inside != name and inside not in files):
                continue
            if (dest / inside).exists():
                raise ModelkilnError(f"{version.ref}: {name} and the model's own {inside} are one file here")
            (dest / inside).parent.mkdir(parents=True, exist_ok=True)
            os.replace(fetched / name, dest / inside)
    return version.ref, version.digest or folder_digest(dest)  # another system registers without a digest
