"""A project in which an artifact was made, judged and registered, as the pipeline leaves it, without a pipeline."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from earned import earned
from imports import ROOT
from sealed import SOURCE, seal_artifact

from modelkiln import contents, distributions, registration, registries, sbom
from modelkiln.artifact import SBOM, read_manifest
from modelkiln.bounds import STRICT
from modelkiln.compose import compose, to_yaml
from modelkiln.files import folder_digest, sha256, to_json, write_text
from modelkiln.params import Download, load
from modelkiln.verdict import VERDICT, read_verdict

GOLDEN = {name: ["text"] for name in contents.GOLDEN}
MODEL = {"config.json": "{}", "model.safetensors": "weights"}


@dataclass(frozen=True)
class Project:
    """The project is the working folder."""

    folder: Path
    code: str  # the commit that the run was at
    run: str  # the commit that has the run's dvc.lock
    digest: str  # of the artifact
    receipt: registration.Receipt

    @property
    def version(self) -> str:
        return f"{self.receipt['registry']}:{self.receipt['name']}/{self.receipt['version']}"


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(message: str) -> str:
    git("add", ".")
    git("commit", "-qm", message)
    return git("rev-parse", "HEAD")


OPTIONS = {
    "local": {"path": "models/tiny"},
    "package": {"distribution": "tiny", "version": "1.0", "folder": "tiny"},
    "registry": {"registry": "mlflow", "name": "keywords-trained", "version": 1},
}


def make_project(folder: Path, source: dict[str, Any] | None = None, pins: dict[str, str] | None = None) -> Project:
    """Fills the folder, which is the working folder, with the project of a run that has been committed.

    Args:
        folder: May have an empty registry in it.
        source: What the source's revision is, less its files and, where it is empty, their digest; default: a folder's.
        pins: Of the source's files, in the params.
    """
    source = source or {**SOURCE, "revision": ""}
    data = compose(ROOT / "conf", ["upload.name=keywords", "backend=generic", "compile.max_batch=8"])
    sources = {source["source"]: OPTIONS[source["source"]]}
    chosen = {name: source[name] for name in ("model", "variant", "source")}
    data["download"] = {**chosen, "sources": sources, "files": pins or {}}
    data["compile"]["encoders"] = {name: {"max_length": 48} for name in ("document", "word")}
    write_text(folder / "params.yaml", to_yaml(data))
    write_text(folder / ".gitignore", "/artifacts/\n/reports/\n/registry/\n/cache/\n/receipts/\n")
    for command in (["init", "-q"], ["config", "user.email", "a@example.org"], ["config", "user.name", "a"]):
        git(*command)
    code = commit("the code")
    for name, text in MODEL.items():
        write_text(folder / "artifacts/source" / name, text)
    files = {name: sha256(folder / "artifacts/source" / name) for name in MODEL}
    revision = {**source, "revision": source["revision"] or folder_digest(folder / "artifacts/source")}
    write_text(folder / "artifacts/source/revision.json", to_json({**revision, "files": files}))
    found = distributions.closure(sbom.roots(["torch"]))
    listed = sbom.render("tiny", revision["revision"], {}, "3.11", found)
    digest = seal_artifact(folder / "artifacts/compiled", {SBOM: listed}, source=revision).digest
    write_text(folder / "reports/validation" / VERDICT, to_json(verdict_of(digest)))
    write_text(folder / "dvc.lock", lock_of(data))
    receipt = registration.upload(
        folder / "artifacts/compiled",
        read_verdict(folder / "reports/validation" / VERDICT),
        STRICT,
        GOLDEN,
        load(folder / "params.yaml").upload,
        Download(**data["download"]),
    )
    write_text(folder / "receipts/upload.json", to_json(receipt))
    return Project(folder, code, commit("the run"), digest, receipt)


def verdict_of(digest: str) -> dict[str, Any]:
    """As the suite writes it of the artifact here, but about another one where another digest is given."""
    manifest = read_manifest(Path("artifacts/compiled"))
    texts = {"golden": "1" * 64, "corpus": "1" * 64}
    return asdict(earned(manifest, artifact=digest, source={}, **texts))


def lock_of(data: dict[str, Any]) -> str:
    """A dvc.lock of stages that ran with the params of their own sections."""
    stages = {name: {"cmd": "x", "params": {"params.yaml": {name: section}}} for name, section in data.items()}
    # As DVC writes it: numbers such as 1e-05 without a dot.
    return yaml.safe_dump({"schema": "2.0", "stages": stages}).replace("1.0e-05", "1e-05")


def params_of(project: Project) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((project.folder / "params.yaml").read_text())
    return data


def fetch(project: Project) -> Path:
    """The registered artifact in the cache."""
    return registries.folder_of(project.version)


def as_json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data
