"""From what a user names to the whole chain; see modelkiln.lineage."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelkiln import sbom
from modelkiln.artifact import MANIFEST, SBOM, Manifest, read_manifest
from modelkiln.contents import MODEL, SIGNATURE, VERDICT
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_json, sha256
from modelkiln.lineage import Chain, Held, Run, Unknown, known_params, project, registered
from modelkiln.lineage.evidence import Evidence, find, names_in
from modelkiln.registration import lock_md5_of
from modelkiln.registries import Version, parse_ref
from modelkiln.sources import REVISION
from modelkiln.verdict import Verdict, read_verdict

SOURCE_FOLDER = Path("artifacts/source")
UNREGISTERED = "a registered version would say it, and none was found"


def trace(ref: str, ask: bool = True) -> Chain:
    """The chain of what a user names.

    Args:
        ref: See evidence.FORMS.
        ask: Whether to ask all registries which versions hold the artifact; or else none but the one that `ref` names.

    Raises:
        ModelkilnError: it leads to no artifact, or the registry that it names failed.
    """
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        return _chain(ref, find(ref, Path(scratch)), ask)


def _chain(ref: str, found: Evidence, ask: bool) -> Chain:
    manifest = found.read(f"{MODEL}/{MANIFEST}", lambda path: read_manifest(path.parent))
    digest = _digest(found, manifest)
    source = registered.source_version(manifest) if ask and isinstance(manifest, Manifest) else None
    own_lock = _own_lock(found)
    held: tuple[Held, ...] = ()
    if ask and isinstance(digest, str):
        held = registered.holding(digest, _names(found, own_lock, source))
    version = found.version or next((each for group in held for each in _versions(group)), None)
    run, lock = _run(found, version, own_lock)
    params = lock if isinstance(lock, Unknown) else project.params_in(lock)
    verdict = found.read(VERDICT, read_verdict)
    verdict_sha256 = found.read(VERDICT, sha256)
    if isinstance(verdict, Verdict) and verdict.artifact != digest:
        verdict = verdict_sha256 = Unknown(f"the verdict there is of artifact {verdict.artifact or 'none'}")
    return Chain(
        ref=ref,
        digest=digest,
        manifest=manifest,
        manifest_sha256=found.read(f"{MODEL}/{MANIFEST}", sha256),
        serving=found.read(f"{MODEL}/{SBOM}", lambda path: sbom.read(path.read_text(encoding="utf-8"))),
        signature=found.read(SIGNATURE, _signer),
        source_files=_source_files(manifest, params, run.recorded, source),
        params=params,
        verdict=verdict,
        verdict_sha256=verdict_sha256,
        run=run,
        source_version=source,
        held=held,
        receipt=found.receipt,
        notes=(*found.notes, *_misfits(found, digest, version, source), *_other_params(manifest, params)),
    )


def _digest(found: Evidence, manifest: Manifest | Unknown) -> str | Unknown:
    if isinstance(manifest, Manifest):
        return manifest.digest
    return found.receipt["digest"] if found.receipt else manifest


def _own_lock(found: Evidence) -> str | None:
    return project.committed(found.commit, str(project.LOCK)) if found.commit else None


def _names(found: Evidence, lock: str | None, source: Version | Unknown | None) -> set[str]:
    names = names_in(found.receipt, project.params_in(lock) if lock else {})
    if found.version:
        names.add(found.version.name)
    if isinstance(source, Version):
        names |= {ref.name for each in source.compiled if (ref := parse_ref(each))}
    return names


def _versions(held: Held) -> tuple[Version, ...]:
    return () if isinstance(held.versions, Unknown) else held.versions


def _run(found: Evidence, version: Version | None, own_lock: str | None) -> tuple[Run, str | Unknown]:
    """The run that made it, and its dvc.lock."""
    tags = version.tags if version else {}
    said = {name: value for name, value in tags.items() if value != "unknown"}
    absent = f"{version.ref} does not say it" if version else UNREGISTERED
    git_commit = said.get("git_commit", Unknown(absent))
    clean = tags.get("git_clean", "unknown")
    if found.commit and own_lock:
        md5 = lock_md5_of(own_lock)
        if version and said.get("dvc_lock_md5") != md5:
            git_commit, clean = Unknown(f"{version.ref} was registered by another run of the same artifact"), "unknown"
        return Run(git_commit, clean, md5, found.commit), own_lock
    if "dvc_lock_md5" not in said:
        nothing = Unknown(absent)
        return Run(git_commit, clean, nothing, nothing), nothing
    md5 = said["dvc_lock_md5"]
    there = project.find_lock(md5, git_commit) if isinstance(git_commit, str) else git_commit
    if isinstance(there, Unknown):
        return Run(git_commit, clean, md5, there), there
    return Run(git_commit, clean, md5, there[1]), there[0]


def _source_files(
    manifest: Manifest | Unknown,
    params: Mapping[str, Any] | Unknown,
    recorded: str | Unknown,
    source: Version | Unknown | None,
) -> Mapping[str, str] | Unknown:
    """The sha256 of each of the source's files, from the first that knows them."""
    if isinstance(manifest, Unknown):
        return manifest
    path = SOURCE_FOLDER / REVISION
    witnesses: list[Callable[[], Mapping[str, str]]] = [lambda: _files(manifest, read_json(path, "the revision"))]
    if isinstance(recorded, str) and recorded != project.HERE:
        witnesses.append(lambda: _files(manifest, json.loads(project.made(path.as_posix(), recorded))))
    if isinstance(source, Version):
        witnesses.append(lambda: registered.files_of(source))
    witnesses.append(lambda: _pins(manifest, params))
    reasons = []
    for witness in witnesses:
        try:
            return witness()
        except ModelkilnError as error:
            reasons.append(one_line(error))
    return Unknown("; ".join(reasons))


def _files(manifest: Manifest, revision: dict[str, Any]) -> Mapping[str, str]:
    files: dict[str, str] = revision.pop("files")
    if revision != manifest.source:
        raise ModelkilnError(f"{SOURCE_FOLDER} is {revision['id']} {revision['revision']}")
    return files


def _pins(manifest: Manifest, params: Mapping[str, Any] | Unknown) -> Mapping[str, str]:
    download = {} if isinstance(params, Unknown) else params.get("download") or {}
    pins: Mapping[str, str] = download.get("files") or {}
    same = all(download.get(name) == manifest.source[name] for name in ("model", "variant", "source"))
    if not (same and pins and all(pins.values())):
        raise ModelkilnError("no params are known that pin them")
    return pins


def _signer(path: Path) -> str:
    """The sha256 of the public key that a signature names."""
    try:
        hint = read_json(path, "the signature")["verificationMaterial"]["publicKey"]["hint"]
    except (KeyError, TypeError) as error:
        raise ModelkilnError(f"{path}: the signature is damaged, or was not made by a key: {error!r}") from error
    return str(hint)


def _misfits(
    found: Evidence, digest: str | Unknown, version: Version | None, source: Version | Unknown | None
) -> list[str]:
    notes = []
    if found.receipt and isinstance(digest, str) and found.receipt["digest"] != digest:
        notes.append(f"receipts/upload.json is of another artifact, {found.receipt['digest']}")
    if version and isinstance(source, Version) and version.ref not in source.compiled:
        notes.append(f"{source.ref} does not say that {version.ref} was compiled from it")
    return notes


def _other_params(manifest: Manifest | Unknown, params: Mapping[str, Any] | Unknown) -> list[str]:
    """What the run's params say and the artifact does not; its options are left out, since it adds the defaults."""
    if isinstance(manifest, Unknown) or isinstance(params, Unknown):
        return []
    return [
        f"the artifact was made with {section}.{name} {value!r}, its run's params say {params[section].get(name)!r}"
        for section, known in known_params(manifest).items()
        for name, value in known.items()
        if name != "options" and section in params and params[section].get(name) != value
    ]
