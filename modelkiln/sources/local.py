"""`local`: a folder on this machine, such as one that transformers' save_pretrained has written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from modelkiln.errors import ModelkilnError
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
    for name in names:
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, dest / name)
    return folder.resolve().name, folder_digest(dest)
