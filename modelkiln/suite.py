"""Runs the suite of checks in a process of its own, and takes down the verdict whatever happens to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from modelkiln import artifact as artifacts
from modelkiln import backends, interpreter, recording
from modelkiln.errors import ModelkilnError
from modelkiln.files import staged_folder, to_json, write_text
from modelkiln.interpreter import Interpreter
from modelkiln.progress import step
from modelkiln.verdict import EVIDENCE, EVIDENCE_FILES, VERDICT, Verdict, read_verdict

LIBRARIES = ("numpy", "pytest", "tokenizers")  # what the checks need beside the backend's own, to judge by a recording


def judge_by_recording(
    artifact: Path, recorded: Path, reports: Path, python: str | None = None, *extra: str
) -> Verdict:
    """The verdict of the checks where the uncompiled model is not: by what it was recorded to say.

    Args:
        artifact: With the graphs that this machine can run.
        recorded: See modelkiln.recording; its bounds hold.
        reports: Replaced: what the suite leaves.
        python: The interpreter that has the backend's runtime; see interpreter.chosen.
        extra: Further arguments for pytest.

    Raises:
        ModelkilnError: this is not the artifact or the recording that was made, or they can't be judged here.
    """
    manifest = artifacts.verify(artifact)
    backends.require_whole(artifact, manifest)
    read = recording.read(recorded)
    if (lacking := backends.lacks_device(manifest)) is not None:
        raise ModelkilnError(f"{artifact}: {lacking}")
    interpreter.require(python, LIBRARIES, "--python")
    options = {"artifact": artifact, "source": recorded, "golden": read.golden, "corpus": read.corpus, **read.bounds}
    with staged_folder(reports) as folder, step(f"judging {artifact} by {recorded}"):
        return run_suite(folder, options, python, "--python", extra)


def run_suite(
    folder: Path, options: Mapping[str, object], python: str | None, where: str, extra: Sequence[str] = ()
) -> Verdict:
    """Runs all checks; their verdict, their evidence and junit.xml are in `folder` then.

    Args:
        folder: Exists.
        options: Of the suite, by name; see modelkiln.checks.plugin.
        python: The interpreter that judges; see interpreter.chosen.
        where: Names that choice in messages.
        extra: Further arguments for pytest.
    """
    arguments = ["--pyargs", "modelkiln.checks", "--verbose", "--no-header", "--tb=short"]
    # Not the settings, plug-ins' caches or conftest of whatever folder this is run in; and no plug-in but ours.
    arguments += ["-c", os.devnull, "-p", "no:cacheprovider", "-p", "modelkiln.checks.plugin"]
    options = {**options, "reports": folder, "junitxml": folder / "junit.xml"}
    # In one word each: before it knows them, pytest takes a value that stands alone for a folder of tests, and loads
    # the conftest.py beside a file of golden samples.
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with interpreter.chosen(python, where) as chosen:
        package = Path(chosen.root or Path(__file__).parents[1]) / "modelkiln"
        command = chosen.command("pytest", *arguments, "--rootdir", str(package / "checks"), *extra)
        # stdout is the stage's: pytest's report is progress here.
        done = subprocess.run(command, env=_environment(chosen), stdout=sys.stderr, check=False)
    return settle(folder, done.returncode)


def settle(folder: Path, exit_code: int) -> Verdict:
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


def _environment(python: Interpreter) -> dict[str, str]:
    """Without the user's own settings of pytest, which may deselect checks or load plug-ins."""
    kept = {name: value for name, value in python.environment().items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
