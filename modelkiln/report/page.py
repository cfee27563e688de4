"""Evidence -> the page: what the template needs, and the template filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from modelkiln import toolchain
from modelkiln.bench.machine import facts
from modelkiln.bounds import STRICT, Bounds
from modelkiln.git import git
from modelkiln.report import documents, judgement, latency, plots, quality, words
from modelkiln.report.evidence import Evidence, finite, mapping
from modelkiln.report.template import fill

TEMPLATE = Path(__file__).with_name("page.html")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([\w.-]{0,58}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Version:
    """A library: what compiled the artifact, and what is installed where it was judged."""

    name: str
    compiled: str
    installed: str

    @property
    def differs(self) -> bool:
        """Whether both are known and not the same."""
        return self.compiled != self.installed and words.NOTHING not in (self.compiled, self.installed)


@dataclass(frozen=True)
class File:
    """A file with its size, where that is known, and its sha256."""

    name: str
    size: str
    sha256: str


def render(evidence: Evidence, python: str | None = None) -> str:
    """The page. The same evidence gives the same page in the same environment; `python` is the one that judged."""
    return fill(TEMPLATE, _context(evidence, python))


def _context(evidence: Evidence, python: str | None) -> dict[str, Any]:
    """Everything that the template names."""
    verdict = evidence.verdict
    said, shown = documents.worst(evidence)
    samples = latency.samples_of(evidence.latency)
    return {
        "verdict": verdict,
        "name": words.shorten(_model_name(evidence), 120),
        "target": _target(evidence.manifest),
        "simulated": mapping(evidence.manifest.get("options")).get("simulated") is True,
        "strict": verdict.bounds == {field.name: getattr(STRICT, field.name) for field in fields(Bounds)},
        "failures": judgement.failures(verdict),
        "tally": _tally(evidence),
        "areas": judgement.areas(verdict, lambda index: plots.mode_of(evidence, index)),
        "bounds": _bounds(evidence),
        "deviation": plots.score_deviation(evidence),
        "cosine": plots.cosine_per_length(evidence),
        "agreement": plots.agreement_per_document(evidence),
        "distribution": plots.latency_distribution(samples),
        "quality": quality.lines(evidence),
        "no_quality": quality.absence(evidence),
        "profile": latency.lines(evidence.latency),
        "no_profile": _no_profile(evidence),
        "latency": evidence.latency,
        "documents_said": said,
        "documents": shown,
        "facts": facts(),
        "versions": _versions(evidence.manifest, python),
        "lineage": _lineage(evidence),
        "files": _files(evidence),
        "notes": [words.shorten(note, 600) for note in evidence.notes] + _contradictions(evidence),
        "plural": words.plural,
        "shorten": words.shorten,
    }


def _model_name(evidence: Evidence) -> str:
    source = evidence.verdict.source or mapping(evidence.manifest.get("source")) or evidence.revision
    return str(source.get("model") or source.get("id") or "")


def _target(manifest: Mapping[str, Any]) -> str:
    """The backend and the precision that the artifact was compiled for."""
    parts = [manifest.get("backend"), manifest.get("precision")]
    return words.shorten(", ".join(str(part) for part in parts if part), 80)


def _tally(evidence: Evidence) -> list[tuple[str, str]]:
    """The few figures that most readers look for: (what, how much)."""
    checks, applicable = evidence.verdict.checks, evidence.verdict.applicable()
    passed = sum(check.outcome == "passed" for check in applicable)
    found = [("checks passed", f"{passed} of {len(applicable)}")] if checks else []
    rows = evidence.documents
    if rows:
        same = sum(row["agreement"] == 1 for row in rows)
        found.append(("answers the same", f"{words.count(same)} of {words.count(len(rows))}"))
    differences = [abs(value) for row in evidence.scores if (value := finite(row["difference"])) is not None]
    if differences:
        found.append(("largest score difference", words.number(max(differences))))
    speeds = [line.ratio for line in latency.lines(evidence.latency) if line.name == latency.FIGURES["p50_ms"][0]]
    return found + [("speed, one document", ratio.words) for ratio in speeds if ratio]


def _bounds(evidence: Evidence) -> list[tuple[str, str, str]]:
    """(name, value, meaning), in the order of Bounds."""
    meanings = {field.name: field.metadata["meaning"] for field in fields(Bounds)}
    names = [name for name in meanings if name in evidence.verdict.bounds]
    names += sorted(set(evidence.verdict.bounds) - set(names))
    return [(name, words.exact(evidence.verdict.bounds[name]), meanings.get(name, "")) for name in names]


def _no_profile(evidence: Evidence) -> str:
    """Why there is no profile; empty where there is one."""
    if latency.lines(evidence.latency):
        return ""
    error = evidence.latency.get("error")
    if error:
        return f"The speed could not be measured: {words.shorten(str(error), 600)}"
    if not evidence.verdict.artifact:
        return "Not measured: what could not be verified is not loaded."
    return "Not measured."


def _versions(manifest: Mapping[str, Any], python: str | None) -> list[Version]:
    compiled = {str(name): str(version) for name, version in mapping(manifest.get("toolchain")).items()}
    # Whoever wrote the manifest chose the names: only what can be a distribution's name is looked up.
    libraries = sorted({name for name in {*compiled, *toolchain.CHECKS} if DISTRIBUTION.fullmatch(name)} - {"python"})
    installed = toolchain.present(libraries, python, "validate.python")
    return [
        Version(name, *(words.shorten(known.get(name, words.NOTHING), 40) for known in (compiled, installed)))
        for name in ["python", *libraries]
    ]


def _lineage(evidence: Evidence) -> list[tuple[str, str]]:
    """(what, which), from the source to the verdict; what is not known is left out."""
    source = evidence.revision or evidence.verdict.source or mapping(evidence.manifest.get("source"))
    manifest = evidence.manifest
    known = [(f"source: {name}", source[name]) for name in source if not isinstance(source[name], dict | list)]
    for name in ("task", "backend", "precision", "options", "format"):
        known += [(f"artifact: {name}", manifest[name])] if name in manifest else []
    known += [("artifact judged", evidence.verdict.artifact or "one that could not be read")]
    known += [("golden samples, sha256", evidence.verdict.golden)] if evidence.verdict.golden else []
    known += [("corpus, sha256", evidence.verdict.corpus)] if evidence.verdict.corpus else []
    commit = git("rev-parse", "HEAD")
    known += [("pipeline, git commit", commit)] if commit else []
    return [(words.shorten(str(name), 80), words.shorten(_plain(value), 300)) for name, value in known]


def _plain(value: object) -> str:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def _files(evidence: Evidence) -> dict[str, list[File]]:
    sources = mapping(evidence.revision.get("files"))
    compiled = {name: mapping(file) for name, file in mapping(evidence.manifest.get("files")).items()}
    return {
        "the source": [_file(name, None, digest) for name, digest in sorted(sources.items())],
        "the artifact": [_file(name, file.get("size"), file.get("sha256")) for name, file in sorted(compiled.items())],
    }


def _file(name: str, size: object, digest: object) -> File:
    known = finite(size)
    return File(
        words.shorten(name, 200), "" if known is None else words.megabytes(known), words.shorten(str(digest), 80)
    )


def _contradictions(evidence: Evidence) -> list[str]:
    """What does not belong together, since a report may be written again by hand."""
    judged, found = evidence.verdict.artifact, evidence.manifest.get("digest", "")
    if judged and found and judged != found:
        return [f"The artifact that lies there now is another one than the one judged: {words.shorten(str(found), 80)}"]
    return []
