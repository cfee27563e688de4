"""Where a reference leads, and what tells of the artifact there: its manifest, its verdict, its signature."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from modelkiln import env, params
from modelkiln.artifact import MANIFEST, SBOM, read_manifest
from modelkiln.contents import COMPILED, MODEL, SIGNATURE, VERDICT
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import write_text
from modelkiln.lineage import Unknown, project, registered
from modelkiln.progress import step
from modelkiln.registration import Receipt, read_receipt
from modelkiln.registries import Version, find_version, parse_ref
from modelkiln.schema import REGISTERED_NAME
from modelkiln.signing import signature_of
from modelkiln.verdict import read_verdict

T = TypeVar("T")
COMPILED_FOLDER = Path("artifacts/compiled")
REPORTS = Path("reports/validation")
RECEIPT = Path("receipts/upload.json")
DIGEST = "[0-9a-f]{64}"
FORMS = (
    "expected the folder of an artifact, a registered version (mlflow:NAME@ALIAS, mlflow:NAME/VERSION), the content "
    "digest of an artifact, or a git commit of this project"
)


@dataclass
class Evidence:
    """What was found, in a folder laid out as modelkiln.contents says, with some of the files that stand there."""

    folder: Path  # exists
    missing: dict[str, str] = field(default_factory=dict)  # why a file is not there
    version: Version | None = None  # where the reference leads to one
    commit: str | None = None  # where it leads to one
    receipt: Receipt | None = None
    notes: list[str] = field(default_factory=list)

    def read(self, name: str, how: Callable[[Path], T]) -> T | Unknown:
        """What `how` makes of one of the files."""
        path = self.folder / name
        if not path.exists():
            return Unknown(self.missing.get(name, f"there is no {name}"))
        try:
            return how(path)
        except ModelkilnError as error:
            return Unknown(one_line(error).replace(f"{self.folder}/", ""))


def find(ref: str, folder: Path) -> Evidence:
    """What tells of the artifact that a user means.

    Args:
        ref: See FORMS.
        folder: Empty; the files go there.

    Raises:
        ModelkilnError: it leads to no artifact, or the registry that it names failed.
    """
    if (Path(ref) / MANIFEST).exists():
        return _in_folder(Path(ref), folder)
    if ":" in ref and parse_ref(ref):
        return _in_registry(ref, folder)
    if re.fullmatch(DIGEST, ref):
        return _of_digest(ref, folder)
    if commit := project.commit_of(ref):
        return _at_commit(commit, folder)
    if Path(ref).is_dir():
        read_manifest(Path(ref))  # says what is wrong
    if re.fullmatch(f"{REGISTERED_NAME}(@{REGISTERED_NAME}|/[0-9]+)", ref):
        return _in_registry(ref, folder)
    raise ModelkilnError(f"{ref!r}: {FORMS}")


def names_in(receipt: Receipt | None, sections: dict[str, Any]) -> set[str]:
    """The names that an artifact may be registered under, as far as this project knows."""
    uploads = [each.get("upload") or {} for each in (sections, _params())]
    return {*([receipt["name"]] if receipt else []), *(str(upload["name"]) for upload in uploads if "name" in upload)}


def _params() -> dict[str, Any]:
    """The sections of params.yaml here, if it is one: what is wrong with it, the registries will say."""
    try:
        return {"upload": asdict(params.load().upload)}
    except ModelkilnError:
        return {}


def _reports(sections: dict[str, Any]) -> list[Path]:
    """The folders that may have the verdict, the one that upload takes it from first."""
    chosen = Path((sections.get("upload") or {}).get("reports") or REPORTS)
    return list(dict.fromkeys([chosen, REPORTS]))


def _in_registry(ref: str, folder: Path) -> Evidence:
    with step(f"asking the registry of {ref}"):
        version, place = find_version(ref)
    if version.kind != COMPILED:
        compiled = f"; compiled from it: {', '.join(version.compiled)}" if version.compiled else ""
        raise ModelkilnError(f"{version.ref}: a {version.kind} model, which modelkiln has not made{compiled}")
    wanted = [f"{MODEL}/{MANIFEST}", f"{MODEL}/{SBOM}", SIGNATURE, VERDICT]
    place.registry.fetch(version, folder, place.options, only=wanted)
    found = read_manifest(folder / MODEL).digest
    if found != version.digest:
        raise ModelkilnError(f"{version.ref}: registered as artifact {version.digest}, and holds {found}")
    return Evidence(folder, dict.fromkeys(wanted, f"{version.ref} was registered without"), version)


def _in_folder(artifact: Path, folder: Path) -> Evidence:
    digest = read_manifest(artifact).digest
    found = Evidence(folder, {SIGNATURE: f"there is no {signature_of(artifact)}"})
    (folder / MODEL).mkdir()
    taken = {f"{MODEL}/{MANIFEST}": artifact / MANIFEST, f"{MODEL}/{SBOM}": artifact / SBOM}
    # Beside it is the verdict where a version was fetched; in the project, where it was judged.
    for verdict in (artifact.parent / VERDICT, *(reports / VERDICT for reports in _reports(_params()))):
        if verdict.exists() and _is_of(digest, verdict):
            taken.setdefault(VERDICT, verdict)
    found.missing[VERDICT] = f"no verdict of this artifact lies beside it, nor in {REPORTS}"
    for name, path in {**taken, SIGNATURE: signature_of(artifact)}.items():
        if path.exists():
            shutil.copyfile(path, folder / name)
    if RECEIPT.exists() and read_receipt(RECEIPT)["digest"] == digest:
        found.receipt = read_receipt(RECEIPT)
    return found


def _is_of(digest: str, verdict: Path) -> bool:
    try:
        return read_verdict(verdict).artifact == digest
    except ModelkilnError:
        return False


def _of_digest(digest: str, folder: Path) -> Evidence:
    for artifact in (COMPILED_FOLDER, env.cache_folder() / digest / MODEL):
        if (artifact / MANIFEST).exists() and read_manifest(artifact).digest == digest:
            return _in_folder(artifact, folder)
    names = names_in(None, {})
    held = registered.holding(digest, names)
    for each in held:
        if not isinstance(each.versions, Unknown) and each.versions:
            return _in_registry(each.versions[0].ref, folder)
    unasked = [f"{each.registry}: {each.versions}" for each in held if isinstance(each.versions, Unknown)]
    places = f"in {COMPILED_FOLDER}, among what was fetched before, or registered as {', '.join(sorted(names)) or '?'}"
    raise ModelkilnError("; ".join([f"{digest}: no artifact of that digest {places}", *unasked]))


def _at_commit(commit: str, folder: Path) -> Evidence:
    found = Evidence(folder, {SIGNATURE: "git and DVC keep none"}, commit=commit)
    lock = project.committed(commit, str(project.LOCK))
    if lock is None:
        raise ModelkilnError(f"{commit}: has no {project.LOCK}, in which DVC says what it has made")
    places = [(f"{MODEL}/{MANIFEST}", COMPILED_FOLDER / MANIFEST), (f"{MODEL}/{SBOM}", COMPILED_FOLDER / SBOM)]
    places += [(VERDICT, reports / VERDICT) for reports in _reports(project.params_in(lock))]
    for name, path in places:
        try:
            if not (folder / name).exists():
                write_text(folder / name, project.made(path.as_posix(), commit))
        except ModelkilnError as error:
            found.missing[name] = one_line(error)
    if receipt := project.committed(commit, RECEIPT.as_posix()):
        write_text(folder / RECEIPT.name, receipt)
        found.receipt = read_receipt(folder / RECEIPT.name)
    found.notes += _stale(commit, project.params_in(lock))
    return found


def _stale(commit: str, ran: dict[str, Any]) -> Iterable[str]:
    """What stands in the commit's params.yaml that is not what its dvc.lock says the stages ran with."""
    given = yaml.safe_load(project.committed(commit, params.PARAMS.as_posix()) or "") or {}
    other = [name for name, section in given.items() if name in ran and ran[name] != section]
    if other:
        yield f"the params of {', '.join(other)} have been changed since the run that this commit's dvc.lock is of"
