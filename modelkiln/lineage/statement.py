"""The chain as an in-toto Statement v1 with a SLSA Provenance v1 predicate; docs/lineage.md is its build type.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.1/provenance
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from modelkiln.artifact import MANIFEST, Manifest
from modelkiln.contents import VERDICT
from modelkiln.errors import ModelkilnError
from modelkiln.lineage import Chain, Unknown, known_params
from modelkiln.verdict import Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Package URLs, which name a page of the distribution: there is no address that is ours to promise.
BUILD_TYPE = "pkg:pypi/modelkiln?build_type=v1#docs/lineage.md"
BUILDER = "pkg:pypi/modelkiln?builder=any#docs/lineage.md"
ARTIFACT = "artifact"  # the subject that stands for the whole
SOURCE = "source"  # the dependency that stands for the whole source; its files are source/PATH
TOOLCHAIN = "toolchain"  # a library is toolchain/NAME
GIT = "git"
LOCK = "dvc.lock"
LOCK_DIGEST = "dvcLockMd5"  # a digest of our own; see registration.lock_md5
UNKNOWN = "modelkiln_unknown"  # an extension field: {part: why it is not here}


def make_statement(chain: Chain, builder: str = BUILDER) -> dict[str, Any]:
    """The statement, as JSON has it: the same for the same chain, with no time.

    Args:
        chain: What was found out.
        builder: The URI of whoever is trusted to have run the pipeline; by default one that claims nothing.

    Raises:
        ModelkilnError: the artifact itself is not known, so that there is nothing to make a statement of.
    """
    if isinstance(chain.digest, Unknown):
        raise ModelkilnError(f"{chain.ref}: no statement can be made, since the artifact is {chain.digest}")
    return {
        "_type": STATEMENT,
        "subject": _subjects(chain, chain.digest),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(chain),
                "internalParameters": _internal(chain.manifest),
                "resolvedDependencies": _dependencies(chain),
            },
            "runDetails": {
                "builder": {"id": builder, **_builder_version(chain)},
                "metadata": _metadata(chain),
                "byproducts": _byproducts(chain),
            },
            **({UNKNOWN: chain.unknown()} if chain.unknown() else {}),
        },
    }


def _subjects(chain: Chain, digest: str) -> list[dict[str, Any]]:
    files = {} if isinstance(chain.manifest, Unknown) else chain.manifest.sha256s()
    if isinstance(chain.manifest_sha256, str):
        files = {**files, MANIFEST: chain.manifest_sha256}
    return [_resource(ARTIFACT, digest), *(_resource(name, files[name]) for name in sorted(files))]


def _external(chain: Chain) -> dict[str, Any]:
    if not isinstance(chain.params, Unknown):
        return dict(chain.params)
    return {} if isinstance(chain.manifest, Unknown) else known_params(chain.manifest)


def _internal(manifest: Manifest | Unknown) -> dict[str, Any]:
    if isinstance(manifest, Unknown):
        return {}
    graphs = {name: asdict(encoder) for name, encoder in manifest.encoders.items()}
    machine = {"machine": asdict(manifest.machine)} if manifest.machine else {}
    return {"graphs": graphs, "dimension": manifest.dimension, "pad_id": manifest.pad_id, **machine}


def _dependencies(chain: Chain) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if not isinstance(chain.manifest, Unknown):
        found.append({"name": SOURCE, "uri": source_uri(chain.manifest.source)})
    if not isinstance(chain.source_files, Unknown):
        found += [_resource(f"{SOURCE}/{path}", digest) for path, digest in sorted(chain.source_files.items())]
    if isinstance(chain.run.git_commit, str):
        annotations = {"clean": chain.run.git_clean}
        found.append({"name": GIT, "digest": {"gitCommit": chain.run.git_commit}, "annotations": annotations})
    if not isinstance(chain.manifest, Unknown):
        libraries = sorted(chain.manifest.toolchain.items())
        found += [{"name": f"{TOOLCHAIN}/{name}", "uri": _package(name, version)} for name, version in libraries]
    return found


def source_uri(source: Mapping[str, Any]) -> str:
    """What the source's revision is, as a URI: a package URL where there is a type for it."""
    kind, identity, revision = str(source["source"]), str(source["id"]), str(source["revision"])
    if kind == "package":
        return _package(identity, revision)
    if kind == "hub":
        return f"pkg:huggingface/{quote(identity)}@{revision}"
    return f"modelkiln:{kind}/{quote(identity, safe='')}@{revision}"


def _metadata(chain: Chain) -> dict[str, Any]:
    commit, lock = chain.run.git_commit, chain.run.dvc_lock_md5
    return {"invocationId": f"{commit}/{lock}"} if isinstance(commit, str) and isinstance(lock, str) else {}


def _builder_version(chain: Chain) -> dict[str, Any]:
    version = None if isinstance(chain.serving, Unknown) else chain.serving.get("modelkiln")
    return {"version": {"modelkiln": version}} if version else {}


def _byproducts(chain: Chain) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(chain.verdict, Verdict) and isinstance(chain.verdict_sha256, str):
        verdict = chain.verdict
        annotations = {
            "passed": verdict.passed,
            "golden": verdict.golden,
            "corpus": verdict.corpus,
            "bounds": verdict.bounds,
            "checks": {check.name: check.outcome for check in verdict.checks},
        }
        found.append({**_resource(VERDICT, chain.verdict_sha256), "annotations": annotations})
    if isinstance(chain.run.dvc_lock_md5, str):
        found.append({"name": LOCK, "digest": {LOCK_DIGEST: chain.run.dvc_lock_md5}})
    for held in chain.held:
        for version in () if isinstance(held.versions, Unknown) else held.versions:
            annotations = {"location": version.location}
            found.append({"name": version.ref, "uri": version.ref, "annotations": annotations})
    return found


def _resource(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def _package(name: str, version: str) -> str:
    if name == "python":
        return f"pkg:generic/python@{version}"
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
