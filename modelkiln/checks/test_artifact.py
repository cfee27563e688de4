"""What the artifact holds and says: bytes as sealed, what was asked for, made from this source, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from modelkiln import backends, sbom, tasks, vocabulary
from modelkiln.artifact import MANIFEST, SBOM, TOKENIZER, Manifest
from modelkiln.asked import Asked, differences
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Original
from modelkiln.files import read_json, sha256, to_json
from modelkiln.recording import Facts
from modelkiln.sources import REVISION

SHOWN = 3  # components of an sbom that differ, and other things of which there are many
FP32 = 4  # bytes of a weight, at the most


def test_every_byte_is_as_sealed(manifest: Manifest, judge: Judge) -> None:
    judge.hold("files", len(manifest.files))  # a graph and a tokenizer: verify() has seen each of them


def test_every_file_has_a_role(manifest: Manifest, folder: Path, facts: Facts, judge: Judge) -> None:
    """A file that nothing reads is compared with nothing."""
    backend = backends.load(manifest.backend)
    roles = {TOKENIZER, SBOM, *(f"{tasks.FOLDER}/{name}" for name in facts.resources)}
    for spec in manifest.encoders.values():
        beside = backend.refers_to(folder / spec.graph)
        roles |= {spec.graph, *((Path(spec.graph).parent / name).as_posix() for name in beside)}
        roles |= {f"{spec.vocabulary}/{name}" for name in (vocabulary.WORDS, vocabulary.VECTORS) if spec.vocabulary}
    strangers = sorted(set(manifest.files) - roles)
    judge.hold("without_a_role", len(strangers))
    assert not strangers, f"nothing reads these: {strangers}"


def test_graphs_hold_nothing_else(manifest: Manifest, folder: Path, facts: Facts, judge: Judge) -> None:
    """Nothing beside what is run: neither by its form, as far as the backend can tell, nor by its size."""
    backend = backends.load(manifest.backend)
    options = backends.options_of(manifest)
    graphs = sorted({spec.graph for spec in manifest.encoders.values()})
    strangers = [f"{graph}: {each}" for graph in graphs for each in backend.strangers(folder / graph, options)]
    beside = {Path(graph).parent for graph in graphs}
    size = sum(file.size for name, file in manifest.files.items() if Path(name).parent in beside)
    copies = max(1, sum(len(backend.refers_to(folder / graph)) for graph in graphs)) if backend.DEVICE else 1
    judge.hold("strangers", len(strangers))
    judge.hold("megabytes_beyond_the_weights", max(0.0, size - copies * FP32 * facts.parameters) / 1e6)
    assert not strangers, f"no part of the graph: {strangers[:SHOWN]}"


def test_texts_are_as_compile_writes_them(manifest: Manifest, folder: Path, judge: Judge) -> None:
    """To the byte, under their usual names: what says the same in another form has room for something else."""
    graph = f"graphs/{backends.load(manifest.backend).GRAPH}"
    tables = {spec.vocabulary for spec in manifest.encoders.values() if spec.vocabulary}
    places = {spec.graph for spec in manifest.encoders.values()} | tables
    others = [f"a graph or a table at {place!r}" for place in sorted(places - {graph, vocabulary.FOLDER})]
    tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
    forms: dict[str, Callable[[], str]] = {
        MANIFEST: lambda: to_json(asdict(manifest)),
        TOKENIZER: lambda: tokenizer.to_str(pretty=True),
        SBOM: lambda: to_json(read_json(folder / SBOM, SBOM)),
    }
    resources = [name for name in manifest.files if name.startswith(f"{tasks.FOLDER}/")]
    forms |= {name: partial(_text_of_the_task, folder / name) for name in resources}
    present = {MANIFEST, *manifest.files}
    others += [
        name for name in sorted(forms) if name in present and (folder / name).read_bytes() != forms[name]().encode()
    ]
    others += [table for table in sorted(tables) if not vocabulary.has_one_form(folder / table)]
    judge.hold("other_forms", len(others))
    assert not others, f"not as compile writes them: {others}"


def _text_of_the_task(path: Path) -> str:
    return tasks.to_text(read_json(path, path.name))


def test_graphs_are_what_compile_makes(manifest: Manifest, uncompiled: Original, judge: Judge) -> None:
    """What no text would show: a graph that was changed after it was compiled, say for one pair of words."""
    if not backends.load(manifest.backend).REPEATABLE:
        judge.not_applicable(f"compiling again for {manifest.backend} takes long, or gives other bytes")
    places = {Path(spec.graph).parent.as_posix() for spec in manifest.encoders.values()}
    found = {name: file.sha256 for name, file in manifest.files.items() if Path(name).parent.as_posix() in places}
    again = uncompiled.graph(manifest)
    made = {f"{place}/{name}": digest for place in places for name, digest in again.items()}
    others = sorted(name for name in {*found, *made} if found.get(name) != made.get(name))
    judge.hold("other_files", len(others))
    assert not others, (
        f"compiled again from this source, these are other files: {others}; compile where the versions of "
        "toolchain.yaml are: dvc repro --force --single-item compile"
    )


@pytest.mark.of_the_source
def test_source_is_as_it_was_fetched(source: Path, judge: Judge) -> None:
    revision = read_json(source / REVISION, "the source's revision")
    altered = [name for name, digest in revision["files"].items() if not _is(source / name, digest)]
    judge.hold("altered_source_files", len(altered))
    assert not altered, f"the source's files were changed since they were fetched: {altered}"


def test_was_compiled_from_this_source(manifest: Manifest, source: Path, judge: Judge) -> None:
    revision = read_json(source / REVISION, "the source's revision")
    del revision["files"]
    said, is_ = manifest.source, revision
    others = {name for name in {*said, *is_} if name not in said or name not in is_ or said[name] != is_[name]}
    judge.hold("other_facts", len(others))
    assert not others, f"compiled from {manifest.source}, the source is {revision}"


def test_is_what_was_asked_for(manifest: Manifest, asked: Asked | None, judge: Judge) -> None:
    if asked is None:
        judge.not_applicable("nobody says what compile was asked for (--asked)")
    _hold_facts(judge, differences(manifest, asked.compile, asked.toolchain))


def test_says_what_the_source_is(manifest: Manifest, facts: Facts, judge: Judge) -> None:
    pairs = {
        "dimension": (manifest.dimension, facts.dimension),
        "pad_id": (manifest.pad_id, facts.pad_id),
        "task's files": (
            sorted(name for name in manifest.files if name.startswith(f"{tasks.FOLDER}/")),
            sorted(f"{tasks.FOLDER}/{name}" for name in facts.resources),
        ),
    }
    _hold_facts(judge, [f"{what} is {is_!r}, expected {was!r}" for what, (is_, was) in pairs.items() if is_ != was])


def test_lists_what_serving_needs(folder: Path, manifest: Manifest, asked: Asked | None, judge: Judge) -> None:
    assert SBOM in manifest.files, f"there is no {SBOM}"
    if asked is None:
        judge.not_applicable("nobody says what compile was asked for (--asked)")
    others = sbom.differences((folder / SBOM).read_text(encoding="utf-8", errors="replace"), asked.sbom)
    judge.hold("other_components", len(others))
    assert not others, (
        f"{SBOM} is not of what judges, which serves as well: {'; '.join(others[:SHOWN])}; list it again: "
        "dvc repro --force --single-item compile"
    )


def test_carries_no_original_weights(manifest: Manifest, source: Path, judge: Judge) -> None:
    files = read_json(source / REVISION, "the source's revision")["files"]
    original = {digest for name, digest in files.items() if name.endswith(".safetensors")}
    original |= {sha256(path) for path in source.rglob("*.safetensors")}
    carried = [
        name for name, file in manifest.files.items() if file.sha256 in original or name.endswith(".safetensors")
    ]
    judge.hold("original_weights", len(carried))
    assert not carried, f"original weights beside the compiled ones: {carried}"


def _hold_facts(judge: Judge, others: list[str]) -> None:
    judge.hold("other_facts", len(others))
    assert not others, "; ".join(others)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest
