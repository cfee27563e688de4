"""From a validated artifact to a registered version and its receipt; with its lineage and its model card."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from modelkiln import artifact, asked, contents, env, gate, registries, signing
from modelkiln.artifact import Manifest
from modelkiln.bounds import Bounds
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import read_json, to_json
from modelkiln.git import git
from modelkiln.params import Compile, Download, Upload, options
from modelkiln.progress import say
from modelkiln.verdict import Verdict

Receipt = dict[str, str]


def upload(
    folder: Path,
    verdict: Verdict,
    bounds: Bounds,
    predictions: dict[str, Any],
    params: Upload,
    download: Download | None = None,
    signature: str = "",
) -> Receipt:
    """Registers the artifact, links it with its source and moves the alias to it; doing it again changes nothing.

    Args:
        folder: The artifact.
        verdict: The judgement of this very artifact.
        bounds: Those that it has to be judged by: params.yaml's.
        predictions: Its golden samples: inputs, inference_params, predictions.
        params: The upload section.
        signature: Of the verdict (signing.sign_text), where it was signed.
        download: The download section: how to reach the registry that the source came from, where it came from one.

    Returns:
        What was registered where, without a time: the same again when nothing has changed.

    Raises:
        ModelkilnError: the verdict is no pass of this artifact (see gate.require_pass), or the registry failed, or
            MODELKILN_SIGNING_KEY names no key.
    """
    manifest = artifact.verify(folder)
    gate.require_pass(verdict, manifest, bounds, "not registered")
    gate.require_signature(verdict, signature, "not registered")
    if manifest.simulated and not params.test_registry:
        raise ModelkilnError(
            "not registered: it was compiled with a simulator, and nothing is known of how it runs on a device; "
            "upload.test_registry: true says of a registry that nobody serves from it"
        )
    _check_remote(params.remote)
    registry = registries.load(params.registry)
    registry_options = options("registries", params.registry, params.options, "upload.options")
    key = env.signing_key()
    signed = {contents.SIGNATURE: signing.new_signature(folder, key)} if key else {}
    signed |= {contents.VERDICT_SIGNATURE: signature} if signature else {}
    lineage = read_lineage(manifest, params.remote)
    card = write_card(params.name, manifest, verdict, lineage)
    version = registry.register(
        registries.Registration(
            name=params.name,
            project=params.project,
            kind=contents.COMPILED,
            digest=manifest.digest,
            model=folder,
            extras={
                contents.CARD: card,
                contents.VERDICT: to_json(asdict(verdict)),
                **{
                    path: to_json(predictions[name])
                    for name, path in zip(contents.GOLDEN, contents.GOLDEN_FILES, strict=True)
                },
                **signed,
            },
            tags=lineage,
            card=card,
        ),
        registry_options,
    )
    _link(manifest, version, download)
    # Last, since serving follows it.
    registry.set_alias(version, params.alias, registry_options)
    return {
        "registry": version.registry,
        "location": version.location,
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
        "alias": params.alias,
    }


def check_asked_for(manifest: Manifest, section: Compile) -> None:
    """Raises a ModelkilnError that names each thing in which an artifact is not what the compile section asks for.

    DVC's run-cache may give a stage's outputs without running it, and who can write to a shared one can put something
    else there. The upload stage is in no run-cache.
    """
    raise_all(
        "not registered: the artifact is not what params.yaml asks for (a run-cache gave another one? run `dvc repro "
        "--force --single-item compile`)",
        asked.differences(manifest, section),
    )


def _link(manifest: Manifest, compiled: registries.Version, download: Download | None) -> None:
    """Tells a source that came from a registry what was compiled from it."""
    if manifest.source["source"] != "registry":
        return
    ref = registries.parse_ref(str(manifest.source["id"]))
    assert ref is not None  # noqa: S101 (the source `registry` gives no other id)
    given = (download.sources if download else {}).get("registry", {})
    if given.get("registry") == ref.registry:
        registry = registries.load(ref.registry)
        source_options = options("registries", ref.registry, given.get("options", {}), "download.sources.registry")
    else:  # params.yaml has gone on to another source
        place = registries.project_place(ref.registry)
        registry, source_options = place.registry, place.options
    registry.link(registry.resolve(ref, source_options), compiled, source_options)


def is_registered(receipt: Receipt, params: Upload) -> bool:
    """Whether the registry's alias stands for what the receipt says, and the registry really holds that, every byte.

    The receipt may come from another clone's registry, and files may be lost while a registry still names them.
    """
    registry_options = options("registries", params.registry, params.options, "upload.options")
    registry = registries.load(params.registry)
    if registry.find(receipt["name"], receipt["digest"], registry_options) is None:
        return False
    ref = registries.Ref(params.registry, receipt["name"], alias=receipt["alias"])
    version = registry.resolve(ref, registry_options)
    if (version.version, version.digest) != (receipt["version"], receipt["digest"]):
        return False
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        try:
            registries.fetch_verified(version, Path(scratch) / "held", registry_options)
        except ModelkilnError as error:
            say(f"{version.ref}: {error}")
            return False
    return True


def read_lineage(manifest: Manifest, remote: str | None) -> dict[str, str]:
    """What the version was made from: code, data, source model, parameters."""
    # Neither is the code's: DVC rewrites dvc.lock in the run, and removes the receipt before it runs the upload.
    status = git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!receipts")
    return {
        "artifact_digest": manifest.digest,
        "backend": manifest.backend,
        "precision": manifest.precision,
        "task": manifest.task,
        "source_model": str(manifest.source["model"]),
        "source_variant": str(manifest.source["variant"]),
        "source_id": str(manifest.source["id"]),
        "source_revision": str(manifest.source["revision"]),
        "git_commit": git("rev-parse", "HEAD") or "unknown",
        "git_clean": "unknown" if status is None else "no" if status else "yes",
        "dvc_lock_md5": lock_md5(Path("dvc.lock")),
        "dvc_remote": remote or "none",
    }


def lock_md5(path: Path) -> str:
    """The md5 of what dvc.lock says of the stages before upload, whose own entry comes later; `unknown` without one.

    It can be computed again from the dvc.lock that is committed after the run.
    """
    return lock_md5_of(path.read_text(encoding="utf-8")) if path.exists() else "unknown"


def lock_md5_of(text: str) -> str:
    """The same of the text of a dvc.lock."""
    lock = yaml.safe_load(text)
    stages = lock.get("stages") if isinstance(lock, dict) else None
    stages = stages if isinstance(stages, dict) else {}
    before = {name: stage for name, stage in stages.items() if name != "upload"}
    return hashlib.md5(json.dumps(before, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


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
            f"Yes: all {len(verdict.applicable())} checks against the uncompiled model passed.",
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
    receipt = read_json(path, "the receipt")
    expected = {"registry", "location", "name", "version", "digest", "alias"}
    if not isinstance(receipt, dict) or set(receipt) != expected:
        raise ModelkilnError(f"{path}: the receipt is damaged; run `dvc repro --force --single-item upload`")
    return receipt


def _check_remote(remote: str | None) -> None:
    """A remote that does not exist would make the lineage a dead end."""
    if remote is None:
        return
    command = [sys.executable, "-m", "dvc", "remote", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if remote not in {line.split()[0] for line in listed.splitlines() if line.strip()}:
        raise ModelkilnError(
            f"upload.remote: DVC has no remote {remote!r}; add it with `dvc remote add {remote} s3://BUCKET/PATH`"
        )
