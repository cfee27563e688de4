"""From a validated artifact to a registered version and its receipt; with its lineage and its model card."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelkiln import artifact, registries
from modelkiln.artifact import Manifest
from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json, to_json
from modelkiln.params import Upload, options
from modelkiln.verdict import Verdict

Receipt = dict[str, str]


def upload(folder: Path, verdict: Verdict, predictions: dict[str, Any], params: Upload) -> Receipt:
    """Registers the artifact and moves the alias to its version; doing it again changes nothing.

    Args:
        folder: The artifact.
        verdict: The judgement of this very artifact.
        predictions: Its golden samples: inputs, inference_params, predictions.
        params: The upload section.

    Returns:
        What was registered where, without a time: the same again when nothing has changed.

    Raises:
        ModelkilnError: the verdict is negative or of another artifact, or the registry failed.
    """
    manifest = artifact.verify(folder)
    if not verdict.passed:
        raise ModelkilnError(f"not registered: the verdict is negative: {'; '.join(verdict.failures())}")
    if verdict.artifact != manifest.digest:
        raise ModelkilnError(
            f"not registered: the verdict is of artifact {verdict.artifact}, this is {manifest.digest}"
        )
    _check_remote(params.remote)
    registry = registries.load(params.registry)
    registry_options = options("registries", params.registry, params.options, "upload.options")
    lineage = read_lineage(manifest, params.remote)
    card = write_card(params.name, manifest, verdict, lineage)
    version = registry.register(
        registries.Registration(
            name=params.name,
            project=params.project,
            digest=manifest.digest,
            folder=folder,
            extras={
                "card.md": card,
                "verdict.json": to_json(asdict(verdict)),
                **{
                    f"golden/{name}.json": to_json(predictions[name])
                    for name in ("inputs", "inference_params", "predictions")
                },
            },
            tags=lineage,
            card=card,
        ),
        registry_options,
    )
    registry.set_alias(version, params.alias, registry_options)
    return {**asdict(version), "alias": params.alias}


def is_registered(receipt: Receipt, params: Upload) -> bool:
    """Whether the registry holds what the receipt says, which may come from a clone with a registry of its own."""
    registry_options = options("registries", params.registry, params.options, "upload.options")
    found = registries.load(params.registry).find(receipt["name"], receipt["digest"], registry_options)
    return found is not None and found.version == receipt["version"]


def read_lineage(manifest: Manifest, remote: str | None) -> dict[str, str]:
    """What the version was made from: code, data, source model, parameters."""
    lock = Path("dvc.lock")
    return {
        "artifact_digest": manifest.digest,
        "backend": manifest.backend,
        "precision": manifest.precision,
        "task": manifest.task,
        "source_model": str(manifest.source["model"]),
        "source_variant": str(manifest.source["variant"]),
        "source_id": str(manifest.source["id"]),
        "source_revision": str(manifest.source["revision"]),
        "git_commit": _git("rev-parse", "HEAD") or "unknown",
        # dvc.lock changes in the run itself, and is recorded beside.
        "git_clean": "no" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock") else "yes",
        # DVC's own hash function, so that the value can be looked up in DVC; nothing rests on it.
        "dvc_lock_md5": hashlib.md5(lock.read_bytes(), usedforsecurity=False).hexdigest()
        if lock.exists()
        else "unknown",
        "dvc_remote": remote or "none",
    }


def write_card(name: str, manifest: Manifest, verdict: Verdict, lineage: dict[str, str]) -> str:
    """The model card, in Markdown; the same for the same artifact and lineage."""
    figures = [f"| {check}: {figure} | {value} | {bound} |" for check, figure, value, bound in verdict.figures()]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{manifest.source['model']} ({manifest.source['variant']}), compiled for `{manifest.backend}` in "
            f"{manifest.precision}, for {manifest.task}. Load it with `modelkiln.load`.",
            "",
            "## Does it give the same answers?",
            "",
            f"Yes: {len(verdict.checks)} of {len(verdict.checks)} checks against the uncompiled model passed.",
            "",
            "| figure | found | bound |",
            "|---|---|---|",
            *figures,
            "",
            "## Lineage",
            "",
            "| | |",
            "|---|---|",
            *(f"| {key} | `{value}` |" for key, value in lineage.items()),
            "",
            "## Compiled with",
            "",
            ", ".join(f"{library} {version}" for library, version in manifest.toolchain.items()),
            "",
        ]
    )


def read_receipt(path: Path) -> Receipt:
    """The receipt that the upload stage wrote."""
    receipt: Receipt = read_json(path, "the receipt")
    return receipt


def _check_remote(remote: str | None) -> None:
    """A remote that does not exist would make the lineage a dead end."""
    if remote is None:
        return
    listed = subprocess.run(["dvc", "remote", "list"], capture_output=True, text=True, check=False).stdout  # noqa: S607
    if remote not in {line.split()[0] for line in listed.splitlines() if line.strip()}:
        raise ModelkilnError(
            f"upload.remote: DVC has no remote {remote!r}; add it with `dvc remote add {remote} s3://BUCKET/PATH`"
        )


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return done.stdout.strip()
