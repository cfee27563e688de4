"""Runs the checks on an artifact, in a process of their own, and leaves their reports whatever happens to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from modelkiln import backends, golden, interpreter, latency, toolchain
from modelkiln.artifact import read_manifest
from modelkiln.errors import ModelkilnError
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.interpreter import Interpreter
from modelkiln.params import Validate
from modelkiln.progress import step
from modelkiln.report import write_report
from modelkiln.verdict import EVIDENCE, EVIDENCE_FILES, VERDICT, Verdict, read_verdict

PYTHON = "validate.python"  # for messages: whose choice the interpreter is
# (area of the check, figure) -> its name among the metrics.
METRICS = {
    ("vectors", "min_cosine"): "cosine",
    ("keywords", "agreement"): "agreement",
    ("quality", "f1_at_10"): "f1",
    ("quality", "f1_at_10_of_the_uncompiled"): "f1_uncompiled",
}


def validate(artifact: Path, source: Path, reports: Path, params: Validate) -> Verdict:
    """Judges the artifact against its uncompiled model and writes the reports folder, also of a negative verdict.

    Args:
        artifact: What the compile stage wrote.
        source: What the download stage wrote.
        reports: Replaced: the verdict, the report that people read, and what both are made from.
        params: The validate section.

    Raises:
        ModelkilnError: there is no artifact to judge, or there are no samples to judge it by.
    """
    with staged_folder(reports) as folder:
        verdict = judge(artifact, source, folder, params)
        # What could not be verified may be anything, so it is not loaded; what was only refused by a bound is measured.
        texts = [sample.text for sample in golden.read_samples(Path(params.golden))]
        rounds = params.profile_rounds if verdict.artifact else 0
        speed = latency.profile(artifact, source, texts, rounds, params.python) if rounds else {}
        write_text(folder / "latency.json", to_json(speed))
        write_text(folder / "metrics.json", to_json(_metrics(verdict, latency.summary(speed))))
        write_report(folder, artifact, source, params.python)
    return verdict


def judge(artifact: Path, source: Path, folder: Path, params: Validate, *extra: str) -> Verdict:
    """The verdict of the checks, with all that they leave in `folder`; nothing is measured. See validate.

    Args:
        artifact: What the compile stage wrote.
        source: What the download stage wrote.
        folder: Exists.
        params: The validate section.
        extra: Further arguments for pytest.
    """
    manifest = read_manifest(artifact)
    interpreter.require(params.python, toolchain.CHECKS, PYTHON)
    golden.read_samples(Path(params.golden))
    golden.read_samples(Path(params.corpus), "the corpus")
    backend = backends.load(manifest.backend)
    lacking = backend.DEVICE(backend.Options(**manifest.options)) if backend.DEVICE else None
    if lacking is not None:
        missing = Verdict(False, "", source=manifest.source, error=f"not validated on a device: {lacking}")
        write_text(folder / VERDICT, to_json(asdict(missing)))
        return _settle(folder, 1)
    with step(f"judging {artifact}"):
        exit_code = _run_checks(artifact, source, folder, params, extra)
    return _settle(folder, exit_code)


def _environment(python: Interpreter) -> dict[str, str]:
    """Without the user's own settings of pytest, and without the plug-ins that are installed: both may deselect checks.

    And such plug-ins take their time: Hypothesis' and Hydra's, as long as all else that the checks import but torch.
    """
    ours = {name: value for name, value in python.environment().items() if not name.startswith("PYTEST_")}
    return {**ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _run_checks(artifact: Path, source: Path, folder: Path, params: Validate, extra: Sequence[str]) -> int:
    arguments = ["--pyargs", "modelkiln.checks", "--verbose", "--no-header", "--tb=short"]
    # Not the settings, plug-ins' caches or conftest of whatever folder this is run in.
    arguments += ["-c", os.devnull, "-p", "no:cacheprovider", "-p", "modelkiln.checks.plugin"]
    options = {"artifact": artifact, "source": source, "golden": params.golden, "corpus": params.corpus}
    options |= {"reports": folder, "junitxml": folder / "junit.xml", **asdict(params.bounds)}
    # In one word each: before it knows them, pytest takes a value that stands alone for a folder of tests, and loads
    # the conftest.py beside a file of golden samples.
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with interpreter.chosen(params.python, PYTHON) as python:
        package = Path(python.root, "modelkiln") if python.root else Path(__file__).parent
        command = python.command("pytest", *arguments, "--rootdir", str(package / "checks"), *extra)
        # stdout is the stage's: pytest's report is progress here.
        return subprocess.run(command, env=_environment(python), stdout=sys.stderr, check=False).returncode


def _settle(folder: Path, exit_code: int) -> Verdict:
    """The verdict that the checks left; a negative one where they left none, or where pytest disagrees."""
    try:
        verdict = read_verdict(folder / VERDICT)
        if verdict.passed and exit_code != 0:
            verdict = replace(verdict, passed=False, error=f"pytest ended with exit code {exit_code}")
    except ModelkilnError as error:
        verdict = Verdict(False, "", error=f"the checks did not finish: exit code {exit_code} ({error})")
    write_text(folder / VERDICT, to_json(asdict(verdict)))
    for name, empty in (("predictions.json", {}), ("junit.xml", "")):
        if not (folder / name).exists():
            write_text(folder / name, to_json(empty))
    for name in EVIDENCE_FILES:
        if not (folder / EVIDENCE / name).exists():
            write_text(folder / EVIDENCE / name, to_json([]))
    return verdict


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
