"""The artifact's bytes: all there, none changed, made from this source, and none of the original weights among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelkiln.artifact import Manifest
from modelkiln.checks.plugin import Judge
from modelkiln.files import read_json, sha256
from modelkiln.sources import REVISION


def test_every_byte_is_as_sealed(manifest: Manifest, judge: Judge) -> None:
    judge.at_least("files", len(manifest.files), 2)  # a graph and a tokenizer: verify() has seen each of them


@pytest.mark.of_the_source
def test_source_is_as_it_was_fetched(source: Path, judge: Judge) -> None:
    revision = read_json(source / REVISION, "the source's revision")
    altered = [name for name, digest in revision["files"].items() if not _is(source / name, digest)]
    judge.at_most("altered_source_files", len(altered), 0)
    assert not altered, f"the source's files were changed since they were fetched: {altered}"


def test_was_compiled_from_this_source(manifest: Manifest, source: Path) -> None:
    revision = read_json(source / REVISION, "the source's revision")
    del revision["files"]
    assert manifest.source == revision, f"compiled from {manifest.source}, the source is {revision}"


def test_carries_no_original_weights(manifest: Manifest, source: Path, judge: Judge) -> None:
    files = read_json(source / REVISION, "the source's revision")["files"]
    original = {digest for name, digest in files.items() if name.endswith(".safetensors")}
    original |= {sha256(path) for path in source.rglob("*.safetensors")}
    carried = [
        name for name, file in manifest.files.items() if file.sha256 in original or name.endswith(".safetensors")
    ]
    judge.at_most("original_weights", len(carried), 0)
    assert not carried, f"original weights beside the compiled ones: {carried}"


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest
