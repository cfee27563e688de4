"""`neptune_export`: a model version in a folder that neptune-exporter has written; needs no Neptune."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from modelkiln.contents import MODEL
from modelkiln.errors import ModelkilnError
from modelkiln.files import folder_digest
from modelkiln.neptune import exported
from modelkiln.progress import track

SOURCE = "neptune_export"


@dataclass(frozen=True)
class Options:
    """Which version of which export."""

    path: str  # the export's folder, with model_files in it
    model_version: str  # Neptune's id of it, as KEYB-MINI-3
    project: str | None = None  # WORKSPACE/PROJECT; None: the only one that has it

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\S+-[0-9]+", self.model_version):
            raise ValueError(f"model_version must be Neptune's id of it, as KEYB-MINI-3; found {self.model_version!r}")


def fetch(dest: Path, options: Options, files: list[str]) -> tuple[str, str]:
    """Copies a version's files, and fetches those in S3; see Source.fetch. The revision is a digest of their contents.

    The golden samples go to golden/ and the card beside the model's files.
    """
    if not options.path:
        raise ModelkilnError(f"download.sources.{SOURCE}.path: set it to the folder that neptune-exporter has written")
    version = exported.find(Path(options.path).expanduser(), options.model_version, options.project)
    placed, _ = exported.layout(version)
    own = {path: path.removeprefix(f"{MODEL}/") for path in placed}
    wanted = [path for path in placed if not files or own[path] == path or own[path] in files]
    for path in track(wanted, f"copying {version.id}", len(wanted)):
        if (dest / own[path]).exists():
            raise ModelkilnError(f"{version.folder}: {path} and the model's own {own[path]} are one file here")
        exported.bring(placed[path], dest / own[path])
    return f"{SOURCE}:{version.id}", folder_digest(dest)
