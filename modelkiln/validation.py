"""Judges an artifact by the suite of checks, measures it, and leaves the reports whatever happens to it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelkiln import backends, golden, interpreter, latency, suite, toolchain
from modelkiln.artifact import read_manifest
from modelkiln.asked import ASKED, Asked
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.params import Validate
from modelkiln.progress import step
from modelkiln.report import write_report
from modelkiln.verdict import EVIDENCE, Verdict

PYTHON = "validate.python"  # for messages: whose choice the interpreter is
# (area of the check, figure) -> its name among the metrics.
METRICS = {
    ("vectors", "min_cosine"): "cosine",
    ("keywords", "agreement"): "agreement",
    ("quality", "f1_at_10"): "f1",
    ("quality", "f1_at_10_of_the_uncompiled"): "f1_uncompiled",
    ("quality", "f1_loss_at_10_upper"): "f1_loss",  # at the upper end of its 95% interval, as the bound is meant
}


def validate(artifact: Path, source: Path, reports: Path, params: Validate, asked: Asked) -> Verdict:
    """Judges the artifact against its uncompiled model and writes the reports folder, also of a negative verdict.

    Args:
        artifact: What the compile stage wrote.
        source: What the download stage wrote.
        reports: Replaced: the verdict, the report that people read, and what both are made from.
        params: The validate section.
        asked: What the artifact was asked for.

    Raises:
        ModelkilnError: there is no artifact to judge, or there are no samples to judge it by.
    """
    with staged_folder(reports) as folder:
        verdict = judge(artifact, source, folder, params, asked)
        # What could not be verified may be anything, so it is not loaded; what was only refused by a bound is measured.
        texts = [sample.text for sample in golden.read_samples(Path(params.golden))]
        rounds = params.profile_rounds if verdict.artifact and not verdict.lacked_device() else 0
        speed = latency.profile(artifact, source, texts, rounds, params.python) if rounds else {}
        write_text(folder / "latency.json", to_json(speed))
        write_text(folder / "metrics.json", to_json(_metrics(verdict, latency.summary(speed))))
        write_report(folder, artifact, source, params.python)
    return verdict


def judge(artifact: Path, source: Path, folder: Path, params: Validate, asked: Asked, *extra: str) -> Verdict:
    """The verdict of the checks, with all that they leave in `folder`; nothing is measured. See validate.

    Args:
        artifact: What the compile stage wrote.
        source: What the download stage wrote.
        folder: Exists.
        params: The validate section.
        asked: What the artifact was asked for.
        extra: Further arguments for pytest.
    """
    manifest = read_manifest(artifact)
    interpreter.require(params.python, toolchain.CHECKS, PYTHON)
    golden.read_samples(Path(params.golden))
    golden.read_samples(Path(params.corpus), "the corpus")
    write_text(folder / EVIDENCE / ASKED, to_json(asdict(asked)))
    options: dict[str, Any] = {"artifact": artifact, "source": source, "golden": params.golden, "corpus": params.corpus}
    options["asked"] = folder / EVIDENCE / ASKED
    options |= asdict(params.bounds)
    if (lacking := backends.lacks_device(manifest)) is not None:
        options["without-device"] = f"{lacking}; `modelkiln verify --reference` completes the verdict on one"
    with step(f"judging {artifact}"):
        return suite.run_suite(folder, options, params.python, PYTHON, extra)


def _metrics(verdict: Verdict, measured: dict[str, float]) -> dict[str, float]:
    """What `dvc metrics show` and `dvc exp show` list: few enough figures for one screen, the worst of each kind."""
    worst: dict[str, float] = {}
    for check in verdict.checks:
        for name, figure in check.figures.items():
            kind = METRICS.get((check.name.partition(":")[0], name))
            if kind and figure.value is not None:
                pick = max if figure.side == "at most" else min
                worst[kind] = pick(worst.get(kind, figure.value), figure.value)
    return {"passed": int(verdict.passed), "failed": len(verdict.failures()), **worst, **measured}
