"""The lineage of an artifact: the whole chain from the source's files to the versions that registries hold.

Nobody keeps the chain as a whole. The artifact's manifest knows its source, its toolchain and its files; the verdict
lies beside a registered version or in the project's reports; a registered version knows the git commit and the md5 of
dvc.lock; dvc.lock knows the params; DVC's cache has the rest. What nobody here can tell is said to be unknown, with the
reason, and nothing is made up in its place.

    evidence.py    where a reference leads, and what tells of the artifact there
    project.py     what the project's git and DVC can tell
    registered.py  what the registries can tell
    trace.py       all of it put together: the Chain below
    tree.py, statement.py, comparison.py
                   the chain for people, for programs (in-toto, SLSA), and held against what a statement claims
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelkiln.artifact import Manifest
from modelkiln.registration import Receipt
from modelkiln.registries import Version
from modelkiln.verdict import Verdict


@dataclass(frozen=True)
class Unknown:
    """What nobody here can tell, and why."""

    reason: str  # on one line

    def __str__(self) -> str:
        return f"unknown: {self.reason}"


@dataclass(frozen=True)
class Run:
    """The run of the pipeline that made it."""

    git_commit: str | Unknown  # that it ran at
    git_clean: str  # whether the code was that commit's: yes, no, unknown
    dvc_lock_md5: str | Unknown  # see registration.lock_md5
    recorded: str | Unknown  # where that dvc.lock is: a commit, or HERE


@dataclass(frozen=True)
class Held:
    """What a registry holds of it."""

    registry: str
    names: tuple[str, ...]  # under which it was looked for
    versions: tuple[Version, ...] | Unknown


@dataclass(frozen=True)
class Chain:
    """All that could be found out."""

    ref: str  # what was asked for
    digest: str | Unknown  # the artifact's content digest
    manifest: Manifest | Unknown
    manifest_sha256: str | Unknown  # of manifest.json, the only file that the manifest does not list
    serving: Mapping[str, str | None] | Unknown  # what it takes to serve it, {library: version}; see sbom.read
    signature: str | Unknown  # the sha256 of the public key that it is said to be signed by; not checked
    source_files: Mapping[str, str] | Unknown  # {path: sha256}
    params: Mapping[str, Any] | Unknown  # the sections of params.yaml that made it
    verdict: Verdict | Unknown
    verdict_sha256: str | Unknown  # of verdict.json
    run: Run
    source_version: Version | Unknown | None  # the trained model in its registry; None: it came from elsewhere
    held: tuple[Held, ...]
    receipt: Receipt | None = None  # what the project says of its registration
    notes: tuple[str, ...] = ()  # what does not fit together

    def unknown(self) -> dict[str, str]:
        """The parts that nobody here can tell, {part: why}."""
        parts = {
            "artifact": self.digest,
            "manifest": self.manifest,
            "serving": self.serving,
            "source files": self.source_files,
            "params": self.params,
            "verdict": self.verdict,
            "git commit": self.run.git_commit,
            "dvc.lock": self.run.dvc_lock_md5,
            "source version": self.source_version,
        }
        return {name: part.reason for name, part in parts.items() if isinstance(part, Unknown)}


def known_params(manifest: Manifest) -> dict[str, Any]:
    """What an artifact says of the params that it was compiled with, laid out as params.yaml."""
    lengths = {name: {"max_length": encoder.max_length} for name, encoder in manifest.encoders.items()}
    batches = {encoder.max_batch for encoder in manifest.encoders.values()}
    said = {
        "task": manifest.task,
        "backend": manifest.backend,
        "precision": manifest.precision,
        "encoders": lengths,
        "options": manifest.options,
    }
    source = {name: manifest.source[name] for name in ("model", "variant", "source")}
    return {"download": source, "compile": {**said, **({"max_batch": batches.pop()} if len(batches) == 1 else {})}}
