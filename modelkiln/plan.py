"""What the suite has to find out about an artifact: every check, its figures with their bounds, and when it is idle.

The checks take their bounds from here, and gate.py holds a verdict to this list: a check that is missing,
made up, without its figures or held to another bound is no evidence. Nothing here needs pytest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelkiln import backends, tasks
from modelkiln.artifact import Manifest, encoder_digest
from modelkiln.figures import (
    AT_10,
    CALLS,
    COMPANY,
    INVARIANT,
    KEYWORDS,
    KNOWN,
    NEIGHBOURS,
    NOISE,
    NONE,
    QUALITY,
    SOME,
    TABLE,
    TEXTS,
    VECTORS,
    Limit,
    at_least,
    at_most,
)
from modelkiln.lengths import BUCKETS, EVERY, Bucket, lengths_of

ROOT = Path(__file__).parent
# What judges beside the checks themselves.
JUDGES = (
    *("asked.py", "bounds.py", "figures.py", "gate.py", "golden.py", "lengths.py", "parity.py", "plan.py"),
    *("quality.py", "recording.py", "verdict.py"),
)
SPECIAL = 2  # tokens that a tokenizer adds to a text, as a rule; which bucket is empty does not depend on it
# The numbers that a verdict has to give, since they decide which checks apply.
COUNTS = ("documents", "words", "graded", "registered")


@dataclass(frozen=True)
class Subject:
    """What a verdict is about, as far as it decides which checks apply."""

    manifest: Manifest
    counts: Mapping[str, int]  # see COUNTS
    corpus_is_golden: bool


@dataclass(frozen=True)
class Expected:
    """A check that a verdict has to have."""

    name: str  # as verdict.json has it
    figures: Mapping[str, Limit]
    applies: bool  # False: it has nothing to judge, and says so


@dataclass(frozen=True)
class _Case:
    """One run of a check that is made several times."""

    encoder: str = ""
    bucket: Bucket | None = None


@dataclass(frozen=True)
class _Check:
    name: str
    figures: Mapping[str, Limit]
    cases: Callable[[Subject], list[tuple[str, _Case]]]
    applies: Callable[[Subject, _Case], bool]


def _once(subject: Subject) -> list[tuple[str, _Case]]:  # noqa: ARG001 (as the others)
    return [("", _Case())]


def _per_encoder(subject: Subject) -> list[tuple[str, _Case]]:
    names = tasks.load(subject.manifest.task).ENCODERS
    return [(f"[{name}]", _Case(encoder=name)) for name in names]


def _per_bucket(subject: Subject) -> list[tuple[str, _Case]]:
    names = tasks.load(subject.manifest.task).ENCODERS
    return [(f"[{name}-{bucket}]", _Case(encoder=name, bucket=bucket)) for name in names for bucket in BUCKETS]


def _per_mode(subject: Subject) -> list[tuple[str, _Case]]:
    return [(f"[{mode.replace('_', ' ')}]", _Case()) for mode in modes_of(subject.manifest.task)]


def _per_mode_of_the_corpus(subject: Subject) -> list[tuple[str, _Case]]:
    return [(f"[{EVERY_MODE}]", _Case())] if subject.corpus_is_golden else _per_mode(subject)


def _always(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return True


def _differs(subject: Subject, case: _Case) -> bool:
    """Whether the encoder is another than those before it: in its graph, its tokenizer or its length."""
    return same_encoder(subject.manifest, case.encoder) is None


def _has_lengths(subject: Subject, case: _Case) -> bool:
    longest = subject.manifest.encoders[case.encoder].max_length
    reached = any(length in case.bucket for length in lengths_of(longest, SPECIAL, EVERY)) if case.bucket else True
    return reached and _differs(subject, case)


def _has_table(subject: Subject, case: _Case) -> bool:
    return has_table(subject.manifest, case.encoder)


def _is_repeatable(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return backends.load(subject.manifest.backend).REPEATABLE


def _has_own_corpus(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return not subject.corpus_is_golden


def _is_graded(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return subject.counts["graded"] > 0


def _is_registered(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return subject.counts["registered"] > 0


def _has_far_documents(subject: Subject, case: _Case) -> bool:
    return subject.counts["documents"] > AT_10 + 1 and _differs(subject, case)


def _has_far_words(subject: Subject, case: _Case) -> bool:  # noqa: ARG001
    return subject.counts["words"] > AT_10 + 1


EVERY_MODE = "every mode"
CHECKS = (
    _Check("artifact: every byte is as sealed", {"files": at_least(2.0)}, _once, _always),
    _Check("artifact: every file has a role", {"without_a_role": NONE}, _once, _always),
    _Check(
        "artifact: graphs hold nothing else",
        {"strangers": NONE, "megabytes_beyond_the_weights": at_most(8.0)},  # code, and what describes it
        _once,
        _always,
    ),
    _Check("artifact: texts are as compile writes them", {"other_forms": NONE}, _once, _always),
    _Check("artifact: graphs are what compile makes", {"other_files": NONE}, _once, _is_repeatable),
    _Check("artifact: source is as it was fetched", {"altered_source_files": NONE}, _once, _always),
    _Check("artifact: was compiled from this source", {"other_facts": NONE}, _once, _always),
    _Check("artifact: is what was asked for", {"other_facts": NONE}, _once, _always),
    _Check("artifact: says what the source is", {"other_facts": NONE}, _once, _always),
    _Check("artifact: lists what serving needs", {"other_components": NONE}, _once, _always),
    _Check("artifact: carries no original weights", {"original_weights": NONE}, _once, _always),
    _Check("resources: every file is what the reference library has", {"different": NONE}, _once, _always),
    _Check("tokenizer: says what the sources says", {"other_parts": NONE}, _once, _always),
    _Check("tokenizer: every token", TEXTS, _per_encoder, _differs),
    _Check("tokenizer: every character", TEXTS, _per_encoder, _differs),
    _Check("tokenizer: long words", TEXTS, _per_encoder, _differs),
    _Check("tokenizer: special tokens", TEXTS, _per_encoder, _differs),
    _Check("tokenizer: mixed texts", TEXTS, _per_encoder, _differs),
    _Check("hostile: vectors", VECTORS, _per_encoder, _differs),
    _Check("hostile: special tokens", VECTORS, _per_encoder, _differs),
    _Check(
        "hostile: answers",
        {"agreement": KEYWORDS["agreement"], "max_score_difference": KEYWORDS["max_score_difference"]}
        | {"not_finite": NONE},
        _once,
        _always,
    ),
    _Check("invariance: company and order", dict.fromkeys(COMPANY, INVARIANT), _per_encoder, _differs),
    _Check(
        "invariance: number of texts in a call",
        {"alone": INVARIANT, "every_number": INVARIANT},
        _per_encoder,
        _differs,
    ),
    _Check(
        "invariance: two threads", {"calls": at_least(CALLS), "max_abs_difference": INVARIANT}, _per_encoder, _differs
    ),
    _Check(
        "invariance: answers alone together and again",
        {f"agreement_{how}": KEYWORDS["agreement"] for how in ("alone", "backwards")}
        | {f"max_score_difference_{how}": KEYWORDS["max_score_difference"] for how in ("alone", "backwards")},
        _once,
        _always,
    ),
    _Check("invariance: caches confuse no texts", {"first": INVARIANT, "second": INVARIANT}, _per_encoder, _always),
    _Check("calls: drawn for this artifact", VECTORS | {"calls": SOME}, _per_encoder, _differs),
    _Check("keywords: golden samples", KEYWORDS, _per_mode, _always),
    _Check("keywords: corpus", KEYWORDS, _per_mode_of_the_corpus, _has_own_corpus),
    _Check("neighbours: ten nearest documents", NEIGHBOURS, _per_encoder, _has_far_documents),
    _Check("neighbours: ten nearest words", NEIGHBOURS, _per_encoder, _has_far_words),
    _Check("noise: bounds are above the uncompiled models own noise", NOISE, _once, _always),
    _Check("quality: gold key phrases", QUALITY, _once, _is_graded),
    _Check(
        "registered: predictions",
        {name: limit for name, limit in KEYWORDS.items() if name != "rbo"} | {"agreement_of_the_uncompiled": KNOWN},
        _once,
        _is_registered,
    ),
    _Check(
        "serving: moved copy gives the same vectors in a new process",
        {"max_abs_difference": INVARIANT},
        _per_encoder,
        _always,
    ),
    _Check("serving: moved copy gives the same answers", {"agreement": KEYWORDS["agreement"]}, _once, _always),
    _Check(
        "serving: loads nothing but what the manifest lists",
        {"files_of_the_artifact": SOME, "files_from_elsewhere": NONE},
        _once,
        _always,
    ),
    _Check("vectors: real texts", VECTORS, _per_encoder, _differs),
    _Check("vectors: words", VECTORS, _per_encoder, _always),
    _Check("vectors: every token", VECTORS | {"tokens": SOME}, _per_encoder, _differs),
    _Check("vectors: every length", VECTORS, _per_bucket, _has_lengths),
    _Check("vectors: compiled vocabulary", TABLE, _per_encoder, _has_table),
)


def expected(subject: Subject) -> Iterator[Expected]:
    """Every check that the suite makes of a subject, those that have nothing to judge included."""
    for check in CHECKS:
        for suffix, case in check.cases(subject):
            yield Expected(check.name + suffix, check.figures, check.applies(subject, case))


def limits(name: str) -> Mapping[str, Limit]:
    """The figures of the check of that name, parameters in brackets or not; a KeyError where there is none."""
    return {check.name: check.figures for check in CHECKS}[name.partition("[")[0]]


def modes_of(task: str) -> list[str]:
    """The modes in which answers are compared, as the names of checks have them."""
    params = tasks.load(task).GOLDEN_PARAMS
    return [", ".join(f"{name} {value}" for name, value in mode.items()) for mode in params]


def same_encoder(manifest: Manifest, name: str) -> str | None:
    """The encoder before this one that is the same graph, tokenizer and length, or None."""
    names = list(manifest.encoders)
    digest = encoder_digest(manifest, name)
    return next((each for each in names[: names.index(name)] if encoder_digest(manifest, each) == digest), None)


def has_table(manifest: Manifest, encoder: str) -> bool:
    """Whether an encoder looks its words up."""
    batch_dependent = manifest.precision in backends.load(manifest.backend).BATCH_DEPENDENT
    return bool(manifest.encoders[encoder].vocabulary) and not batch_dependent


def suite_digest() -> str:
    """The hex sha256 of the code of the checks and of what judges with them: which suite a verdict is by."""
    files = [*sorted((ROOT / "checks").glob("*.py")), *(ROOT / name for name in JUDGES)]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT).as_posix()}\n" for path in files
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
