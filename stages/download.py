"""Fetches the uncompiled model: params.yaml's `download` -> artifacts/source."""

from __future__ import annotations

from dataclasses import asdict

from modelkiln import params, sources
from modelkiln.files import staged_folder, to_json, write_text
from stages import SOURCE, run


def download() -> None:
    """The model's files, each held to its sha256, and revision.json, which says what exactly they are."""
    with staged_folder(SOURCE) as folder:
        revision = sources.fetch(params.load().download, folder)
        write_text(folder / sources.REVISION, to_json(asdict(revision)))


if __name__ == "__main__":
    run(download)
