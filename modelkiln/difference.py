"""What changed between two registered versions: source, toolchain, options, files, figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelkiln.artifact import MANIFEST, read_manifest
from modelkiln.contents import COMPILED, CONTENTS, MODEL, VERDICT
from modelkiln.files import read_json
from modelkiln.registries import Place, Version
from modelkiln.verdict import read_verdict

ABSENT = "-"
LINEAGE = ("git_commit", "git_clean", "dvc_lock_md5", "dvc_remote")


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(fact, before, after) for each fact that is not the same, in the order of the facts."""
    names = [*before, *(name for name in after if name not in before)]
    pairs = [(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    return [(name, old, new) for name, old, new in pairs if old != new]


def read_facts(version: Version, place: Place) -> dict[str, str]:
    """What a version is, was made from and with, and how it was judged; a fact a line, without its files' contents.

    Raises:
        ModelkilnError: the registry failed, or what it holds is damaged.
    """
    facts = {"kind": version.kind, "digest": version.digest}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        folder = Path(scratch)
        wanted = [f"{MODEL}/{MANIFEST}", VERDICT] if version.kind == COMPILED else [CONTENTS]
        place.registry.fetch(version, folder, place.options, only=wanted)
        if (folder / MODEL / MANIFEST).exists():
            manifest = asdict(read_manifest(folder / MODEL))
            files = {f"file {path}": f"sha256 {file['sha256'][:12]}" for path, file in manifest.pop("files").items()}
            del manifest["digest"], manifest["format"]
            facts |= dict(_flat(manifest, ""))
            facts |= files
        if (folder / CONTENTS).exists():
            listed = read_json(folder / CONTENTS, "the list of contents")["files"]
            facts |= {f"file {path}": f"sha256 {file['sha256'][:12]}" for path, file in listed.items()}
        if (folder / VERDICT).exists():
            verdict = read_verdict(folder / VERDICT)
            facts["verdict"] = "positive" if verdict.passed else f"negative: {verdict.reason()}"
            facts |= {f"{check}: {figure}": f"{value} ({bound})" for check, figure, value, bound in verdict.figures()}
    return facts | {name: version.tags[name] for name in LINEAGE if name in version.tags}


def _flat(data: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        elif value is not None:
            yield path, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
