"""`local`: a folder on this machine, such as one that transformers' save_pretrained has written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from modelkiln.artifact import CACHED
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import folder_digest, relative_files


@dataclass(frozen=True)
class Options:
    """Where the model lies."""

    path: str


def fetch(dest: Path, options: Options, files: list[str]) -> tuple[str, str]:
    """Copies the model's files; see Source.fetch. The revision is a digest of their contents."""
    folder = Path(options.path).expanduser()
    if not options.path or not folder.is_dir():
        raise ModelkilnError(f"download.sources.local.path: no folder {options.path!r}; set it to your model's folder")
    # Hidden files are a checkout's own (.git, .gitattributes), never a model's.
    names = files or [name for name in relative_files(folder) if not any(part[0] == "." for part in name.split("/"))]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelkilnError(f"{folder}: not there: {', '.join(missing)}")
    outside = [f"{name} is a link to {(folder / name).resolve()}" for name in names if not _is_own(folder, name)]
    raise_all(f"{folder}: refused, a model's files lie in its folder; copy what it needs into it", outside)
    for name in names:
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, dest / name)
    return folder.resolve().name, folder_digest(dest)


def _is_own(folder: Path, name: str) -> bool:
    """Whether a file lies in the folder, or where the hub's cache or DVC's keeps what they have linked there."""
    root, target = folder.resolve(), (folder / name).resolve()
    blobs = root.parent.parent / "blobs"  # of models--…/snapshots/REVISION
    return (
        target.is_relative_to(root)
        or (root.parent.name == "snapshots" and target.parent == blobs)
        or CACHED.search(target.as_posix()) is not None
    )
