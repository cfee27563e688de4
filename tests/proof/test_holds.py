"""The table in docs/gate.md names everything that an artifact holds, with checks that there are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from imports import ROOT

from benchmarks.holds import HOLDS, table
from modelkiln import plan
from modelkiln.artifact import EncoderSpec, Manifest, read_manifest

# Files by what the manifest calls them; graphs and the task's own by their folders.
NAMED = {"tokenizer.json", "sbom.json", "vocabulary/words.json", "vocabulary/vectors.npy"}


def test_page_has_the_table() -> None:
    page = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    for line in table():
        assert line in page


def test_every_row_names_checks_that_there_are() -> None:
    known = {check.name for check in plan.CHECKS}
    for what, compared, checks in HOLDS:
        assert what
        assert compared
        assert checks, what
        assert set(checks) <= known, what


def test_every_check_compares_something() -> None:
    assert {check for _, _, checks in HOLDS for check in checks} == {check.name for check in plan.CHECKS}


def test_all_that_a_manifest_says_is_there() -> None:
    named = {name for what, _, _ in HOLDS for name in re.findall(r"`([^`]+)`", what)}
    assert {field.name for field in fields(Manifest)} - named == set()
    assert {field.name for field in fields(EncoderSpec)} - named == set()


def test_all_that_lies_in_an_artifact_is_there(table_artifact: Path) -> None:
    named = {name for what, _, _ in HOLDS for name in re.findall(r"`([^`]+)`", what)}
    for name in read_manifest(table_artifact).files:
        folder = f"{name.partition('/')[0]}/…"
        assert name in named or folder in named, name
    assert named >= NAMED
