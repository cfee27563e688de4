"""Sources: where an uncompiled model comes from. One file each.

Whatever the source, the same rules hold for what it brings: only the files that the config lists, each with the sha256
that it pins, weights in safetensors, and no code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from modelkiln import params, plugins
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, relative_files, sha256

REVISION = "revision.json"
# What a model's files may be: what they say can be read, and nothing of it runs. Everything else is refused, pickles
# first of all, since reading one runs code: https://docs.python.org/3/library/pickle.html
TAKEN = {".jinja", ".json", ".jsonl", ".md", ".model", ".safetensors", ".tiktoken", ".txt", ".vocab", ".yaml", ".yml"}
TAKEN_NAMES = {"LICENSE", "NOTICE", "VERSION"}


@dataclass(frozen=True)
class Revision:
    """What exactly was fetched."""

    model: str
    variant: str
    source: str
    id: str  # where from: a package, a hub repository, a folder's name
    revision: str  # which one: a version, a commit, a digest
    files: dict[str, str] = field(default_factory=dict)  # path: sha256


class Source(Protocol):
    """What a module in this folder has to offer."""

    Options: type  # a frozen dataclass: the source's entry in conf/model/<name>.yaml

    def fetch(self, dest: Path, options: Any, files: list[str]) -> tuple[str, str]:
        """Puts the model's files into the empty folder `dest`.

        Args:
            dest: Exists, and is thrown away unless everything goes well.
            options: An instance of this source's Options.
            files: The paths that are wanted; empty: all.

        Returns:
            The id and the revision, for revision.json.

        Raises:
            ModelkilnError: no network, no such model, no such file.
        """


def fetch(download: params.Download, dest: Path) -> Revision:
    """Fetches the model that the params describe into the empty folder `dest`, and vouches for each of its files.

    Raises:
        ModelkilnError: the source failed, or what it brought is not what the params pin.
    """
    source = cast(Source, plugins.load("sources", download.source))
    wanted = sorted(download.files or {})
    raise_all(
        "download.files",
        [f"{name!r} points outside the model's folder" for name in wanted if not is_inside(name)],
    )
    refuse_code(wanted)
    identity, revision = source.fetch(dest, params.source_options(download), wanted)
    (dest / REVISION).unlink(missing_ok=True)  # of an earlier download that is now the source; the stage writes its own
    files = {name: sha256(dest / name) for name in relative_files(dest)}
    refuse_code(list(files))
    _check_pins(download, files)
    require_model(files, download.model)
    return Revision(download.model, download.variant, download.source, identity, revision, files)


def refuse_code(files: list[str]) -> None:
    """Raises a ModelkilnError if one of the files is of a kind that no model needs, such as code or a pickle."""
    raise_all(
        "refused: modelkiln takes weights as safetensors only, and no code (convert with transformers' "
        "save_pretrained(…, safe_serialization=True), or list the files that the model needs in conf/model)",
        [name for name in files if not _is_taken(PurePosixPath(name))],
    )


def _is_taken(path: PurePosixPath) -> bool:
    return path.suffix.lower() in TAKEN or path.name in TAKEN_NAMES


def _check_pins(download: params.Download, files: dict[str, str]) -> None:
    pins = download.files or {}
    mistakes = [f"{name} is missing" for name in pins if name not in files]
    mistakes += [
        f"{name} has sha256 {files[name]}, expected {pin}"
        for name, pin in pins.items()
        if pin is not None and name in files and files[name] != pin
    ]
    raise_all(f"{download.model} from {download.source} is not the model that the config pins", mistakes)


def require_model(files: Iterable[str], where: str) -> None:
    """Raises a ModelkilnError unless there are a config and weights among the files."""
    if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
        raise ModelkilnError(f"{where}: no model there (config.json and *.safetensors); found {sorted(files)}")
