"""Judges the artifact: artifacts/compiled against artifacts/source -> reports/validation."""

from __future__ import annotations

from modelkiln import params, toolchain
from modelkiln.asked import ask
from modelkiln.files import read_json
from modelkiln.progress import say
from modelkiln.sources import REVISION
from modelkiln.validation import validate
from stages import COMPILED, REPORTS, SOURCE, run


def validate_artifact() -> None:
    """The verdict and the reports. A negative verdict is a result, so the stage succeeds; upload refuses it."""
    section = params.load()
    toolchain.check(toolchain.read([section.compile.backend, "checks"]), section.validate.python, "validate.python")
    versions = toolchain.read([section.compile.backend, section.compile.task])
    asked = ask(section.compile, versions, read_json(SOURCE / REVISION, "the source's revision"))
    verdict = validate(COMPILED, SOURCE, REPORTS, section.validate, asked)
    say(f"verdict: {'passed' if verdict.passed else 'NOT passed'}")
    for failure in verdict.failures():
        say(f"  - {failure}")


if __name__ == "__main__":
    run(validate_artifact)
