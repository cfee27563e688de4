"""Each kind of wrong artifact that the first gate let through is seen by the check that is there for it.

The checks are called here as functions, with the tiny model's real artifact and its real uncompiled side: a process of
pytest's would take seconds each time. `modelkiln prove-gate` has the whole suite judge the same kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compiling import compile_here, fetch_local
from tiny import build_tiny_model

import modelkiln
from modelkiln import plan, tasks
from modelkiln.artifact import read_manifest, verify
from modelkiln.asked import Asked, as_if_asked, without_table
from modelkiln.bounds import STRICT
from modelkiln.checks import (
    test_artifact,
    test_calls,
    test_hostile,
    test_resources,
    test_tokenizer,
    test_vectors,
)
from modelkiln.checks.plugin import Judge
from modelkiln.checks.uncompiled import Uncompiled
from modelkiln.encoder import Encoder
from modelkiln.golden import read_samples
from modelkiln.proof.catalogue import all_faults
from modelkiln.proof.fault import DoesNotApplyError, Good
from modelkiln.recording import Facts

TEXTS = [sample.text for sample in read_samples()][:6]


class Case:
    """An artifact, and what the checks are given beside it."""

    def __init__(self, good: Good, folder: Path, uncompiled: Uncompiled, facts: Facts) -> None:
        self.folder, self.source = folder, good.source
        self.manifest = verify(folder)
        self.uncompiled, self.facts = uncompiled, facts
        asked = as_if_asked(good.folder, good.manifest)
        has_table = any(spec.vocabulary for spec in self.manifest.encoders.values())
        self.asked: Asked = asked if has_table else without_table(asked)

    @property
    def encoder(self) -> Encoder:
        """The encoder of words, which has the table where there is one."""
        found: Encoder = modelkiln.load(self.folder, cache_mb=0).word
        return found


def judged(name: str, run: Callable[[Judge], object]) -> str:
    """What a check says against it; nothing where it passes."""
    judge = Judge(plan.limits(name), STRICT, [])
    try:
        run(judge)
    except AssertionError as error:
        return str(error)
    return "; ".join(judge.broken)


CHECKS: dict[str, Callable[[Case], Callable[[Judge], object]]] = {
    "vectors: every token": lambda case: (
        lambda judge: test_vectors.test_every_token(judge, case.uncompiled, case.facts, case.encoder, case.manifest)
    ),
    "calls: drawn for this artifact": lambda case: (
        lambda judge: test_calls.test_drawn_for_this_artifact(
            judge, case.uncompiled, case.facts, case.encoder, case.manifest, TEXTS
        )
    ),
    "vectors: compiled vocabulary": lambda case: (
        lambda judge: test_vectors.test_compiled_vocabulary(
            judge, case.uncompiled, case.facts, case.encoder, case.asked, case.manifest
        )
    ),
    "tokenizer: says what the sources says": lambda case: (
        lambda judge: test_tokenizer.test_says_what_the_sources_says(case.folder, case.facts, judge)
    ),
    "tokenizer: every token": lambda case: (
        lambda judge: test_tokenizer.test_every_token(judge, case.uncompiled, case.facts, case.encoder)
    ),
    "tokenizer: every character": lambda case: (
        lambda judge: test_tokenizer.test_every_character(judge, case.uncompiled, case.encoder)
    ),
    "tokenizer: long words": lambda case: (
        lambda judge: test_tokenizer.test_long_words(judge, case.uncompiled, case.encoder)
    ),
    "tokenizer: special tokens": lambda case: (
        lambda judge: test_tokenizer.test_special_tokens(judge, case.uncompiled, case.facts, case.encoder, TEXTS)
    ),
    "tokenizer: mixed texts": lambda case: (
        lambda judge: test_tokenizer.test_mixed_texts(judge, case.uncompiled, case.facts, case.encoder, TEXTS)
    ),
    "hostile: special tokens": lambda case: (
        lambda judge: test_hostile.test_special_tokens(judge, case.uncompiled, case.facts, case.encoder, TEXTS)
    ),
    "resources: every file is what the reference library has": lambda case: (
        lambda judge: test_resources.test_every_file_is_what_the_reference_library_has(
            case.folder, case.manifest, case.facts, judge
        )
    ),
    "artifact: every file has a role": lambda case: (
        lambda judge: test_artifact.test_every_file_has_a_role(case.manifest, case.folder, case.facts, judge)
    ),
    "artifact: graphs hold nothing else": lambda case: (
        lambda judge: test_artifact.test_graphs_hold_nothing_else(case.manifest, case.folder, case.facts, judge)
    ),
    "artifact: texts are as compile writes them": lambda case: (
        lambda judge: test_artifact.test_texts_are_as_compile_writes_them(case.manifest, case.folder, judge)
    ),
    "artifact: graphs are what compile makes": lambda case: (
        lambda judge: test_artifact.test_graphs_are_what_compile_makes(case.manifest, case.uncompiled, judge)
    ),
    "artifact: is what was asked for": lambda case: (
        lambda judge: test_artifact.test_is_what_was_asked_for(case.manifest, case.asked, judge)
    ),
    "artifact: says what the source is": lambda case: (
        lambda judge: test_artifact.test_says_what_the_source_is(case.manifest, case.facts, judge)
    ),
    "artifact: lists what serving needs": lambda case: (
        lambda judge: test_artifact.test_lists_what_serving_needs(case.folder, case.manifest, case.asked, judge)
    ),
}
# By which checks a kind has to be seen, each of them.
SEEN = {
    "word-of-another": ["vectors: every token", "vectors: compiled vocabulary"],
    "last-words-zero": ["vectors: every token"],
    "word-scaled": ["vectors: every token", "vectors: compiled vocabulary"],
    "continuation-as-beginning": ["vectors: every token"],
    "table-within-bounds": ["vectors: compiled vocabulary"],
    "table-two-swapped": ["vectors: compiled vocabulary"],
    "words-traded": ["tokenizer: says what the sources says", "tokenizer: every token"],
    "long-words-unknown": ["tokenizer: says what the sources says", "tokenizer: long words"],
    "word-missing": ["tokenizer: says what the sources says", "tokenizer: every token"],
    "special-token-forgotten": ["tokenizer: says what the sources says", "tokenizer: special tokens"],
    "special-token-alone": ["tokenizer: says what the sources says", "tokenizer: special tokens"],
    "full-width-dropped": ["tokenizer: says what the sources says", "tokenizer: every character"],
    "spelling-changed": ["tokenizer: says what the sources says"],
    "long-numbers-cut": ["tokenizer: says what the sources says"],
    "padding-by-id": ["hostile: special tokens"],
    "mask-token-in-long": ["hostile: special tokens"],
    "stop-word-missing": ["resources: every file is what the reference library has"],
    "stop-word-added": ["resources: every file is what the reference library has"],
    "language-added": ["resources: every file is what the reference library has"],
    "stray-file": ["artifact: every file has a role"],
    "weights-as-npy": ["artifact: every file has a role"],
    "weights-zipped": ["artifact: every file has a role"],
    "other-pad-id": ["artifact: says what the source is"],
    "other-batch": ["artifact: is what was asked for"],
    "other-options": ["artifact: is what was asked for"],
    "other-precision": ["artifact: is what was asked for"],
    "other-toolchain": ["artifact: is what was asked for"],
    "other-machine": ["artifact: is what was asked for"],
    "alike-off": ["calls: drawn for this artifact"],
    "bucket-off": ["calls: drawn for this artifact"],
    "neighbour-leaks": ["calls: drawn for this artifact"],
    "graph-with-more": ["artifact: graphs hold nothing else"],
    "tokenizer-with-room": ["artifact: texts are as compile writes them"],
    "list-with-room": ["artifact: texts are as compile writes them"],
    "table-elsewhere": ["artifact: texts are as compile writes them"],
    "two-words-off": ["artifact: graphs are what compile makes"],
    "position-unused": ["artifact: graphs are what compile makes"],
    "length-between": ["artifact: graphs are what compile makes"],
    "word-not-asked-for": ["vectors: compiled vocabulary"],
    "sbom-version": ["artifact: lists what serving needs"],
    "sbom-incomplete": ["artifact: lists what serving needs"],
}


# What nothing of is loaded, since two readers might take it for two things, or for more than is listed.
REFUSED = ["table-with-more", "word-twice", "key-twice", "manifest-key-twice", "folder-added", "folder-linked"]


@pytest.fixture(scope="module")
def good(table_artifact: Path, tiny_source: Path) -> Good:
    return Good(table_artifact, tiny_source, read_manifest(table_artifact))


@pytest.fixture(scope="module")
def uncompiled(tiny_source: Path) -> Uncompiled:
    return Uncompiled(tiny_source, None)


@pytest.fixture(scope="module")
def facts(uncompiled: Uncompiled) -> Facts:
    return uncompiled.facts(tasks.load("keywords"))


@pytest.fixture(scope="module")
def right(good: Good, uncompiled: Uncompiled, facts: Facts) -> Case:
    """The good artifact."""
    return Case(good, good.folder, uncompiled, facts)


@pytest.mark.parametrize("name", CHECKS)
def test_good_artifact_passes(name: str, right: Case) -> None:
    assert judged(name, CHECKS[name](right)) == ""


@pytest.mark.parametrize("kind", SEEN)
def test_wrong_one_is_seen(kind: str, good: Good, uncompiled: Uncompiled, facts: Facts, tmp_path: Path) -> None:
    (fault,) = [each for each in all_faults(good) if each.name == kind]
    try:
        fault.make(good, tmp_path)
    except DoesNotApplyError as error:
        pytest.skip(str(error))
    case = Case(good, tmp_path, uncompiled, facts)
    for name in SEEN[kind]:
        assert judged(name, CHECKS[name](case)), name


@pytest.mark.parametrize("kind", REFUSED)
def test_one_that_can_be_read_in_two_ways_is_not_loaded(kind: str, good: Good, tmp_path: Path) -> None:
    (fault,) = [each for each in all_faults(good) if each.name == kind]
    fault.make(good, tmp_path)
    with pytest.raises(modelkiln.ModelkilnError):
        modelkiln.load(tmp_path)


@pytest.mark.parametrize("backend", ["openvino", "generic", "aotinductor"])
def test_what_nothing_reads_is_seen_in_every_format(
    backend: str, tiny_artifact_for: Any, tiny_source: Path, facts: Facts, tmp_path: Path
) -> None:
    folder = tiny_artifact_for(backend, "fp32")
    it = Good(folder, tiny_source, read_manifest(folder))

    def said(artifact: Path) -> str:
        return judged(
            "artifact: graphs hold nothing else",
            lambda judge: test_artifact.test_graphs_hold_nothing_else(read_manifest(artifact), artifact, facts, judge),
        )

    assert said(folder) == ""
    (fault,) = [each for each in all_faults(it) if each.name == "graph-with-more"]
    fault.make(it, tmp_path)
    assert "no part of the graph" in said(tmp_path)


@pytest.mark.parametrize(("backend", "precision"), [("onnxruntime", "int8"), ("openvino", "fp32"), ("generic", "fp32")])
def test_graph_that_was_edited_is_another_than_compile_makes(
    backend: str, precision: str, tiny_artifact_for: Any, tiny_source: Path, uncompiled: Uncompiled, tmp_path: Path
) -> None:
    """In this process, which has compiled and loaded others before: what tells them apart is what they say."""
    folder = tiny_artifact_for(backend, precision)
    it = Good(folder, tiny_source, read_manifest(folder))

    def said(artifact: Path) -> str:
        manifest = read_manifest(artifact)
        return judged(
            "artifact: graphs are what compile makes",
            lambda judge: test_artifact.test_graphs_are_what_compile_makes(manifest, uncompiled, judge),
        )

    assert said(folder) == ""
    (fault,) = [each for each in all_faults(it) if each.name == "two-words-off"]
    fault.make(it, tmp_path)
    assert "these are other files: ['graphs/" in said(tmp_path)


def test_every_kind_that_the_first_gate_let_through_is_tried(good: Good) -> None:
    kinds = {fault.name for fault in all_faults(good)}
    assert set(SEEN) <= kinds
    assert len(SEEN) >= 25


def test_roberta_that_counts_positions_over_padding_is_seen(tmp_path: Path) -> None:
    """transformers#1761: <pad>, written in a text. The good one passes: it counts as the library does."""
    source = fetch_local(build_tiny_model(tmp_path / "model", kind="roberta"), tmp_path / "source", "tiny")
    artifact = compile_here("onnxruntime", source, tmp_path / "compiled", 48)
    uncompiled = Uncompiled(source, None)
    facts = uncompiled.facts(tasks.load("keywords"))
    good = Good(artifact, source, read_manifest(artifact))
    name = "hostile: special tokens"
    assert judged(name, CHECKS[name](Case(good, artifact, uncompiled, facts))) == ""
    (fault,) = [each for each in all_faults(good) if each.name == "positions-over-padding"]
    (tmp_path / "wrong").mkdir()
    fault.make(good, tmp_path / "wrong")
    assert "min_cosine is" in judged(name, CHECKS[name](Case(good, tmp_path / "wrong", uncompiled, facts)))


def test_word_that_was_asked_for_and_is_not_in_the_table_is_missed(right: Case) -> None:
    case = Case(Good(right.folder, right.source, right.manifest), right.folder, right.uncompiled, right.facts)
    case.asked = replace(case.asked, words=["sleeper train"])
    assert "lacking is 1" in judged("vectors: compiled vocabulary", CHECKS["vectors: compiled vocabulary"](case))


def test_sbom_of_other_things_says_which(right: Case) -> None:
    case = Case(Good(right.folder, right.source, right.manifest), right.folder, right.uncompiled, right.facts)
    listed: Any = json.loads(case.asked.sbom)
    for each in listed["components"]:
        if each["name"] == "numpy":
            each["version"] = "0.9"
    case.asked = replace(case.asked, sbom=json.dumps(listed))
    name = "artifact: lists what serving needs"
    assert "numpy is" in judged(name, CHECKS[name](case))


def test_fact_of_the_source_that_is_null_is_a_fact_too_many(good: Good) -> None:
    def said(source: dict[str, Any]) -> str:
        manifest = replace(good.manifest, source=source)
        return judged(
            "artifact: was compiled from this source",
            lambda judge: test_artifact.test_was_compiled_from_this_source(manifest, good.source, judge),
        )

    assert said(good.manifest.source) == ""
    assert "licence: proprietary" in said({**good.manifest.source, "licence: proprietary": None})
