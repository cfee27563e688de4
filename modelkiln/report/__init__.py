"""The report on an artifact: one self-contained page for people, made of what the checks and the profile left behind.

    python -m modelkiln.report reports/validation --artifact artifacts/compiled --source artifacts/source

The texts and the names on it come from models, corpora and manifests, so nothing of them is trusted: the template
escapes all of it, and what would change how the page reads (control characters, overrides of direction) is spelled out.
"""

from __future__ import annotations

from pathlib import Path

from modelkiln.files import to_json, write_text
from modelkiln.report.evidence import read_evidence
from modelkiln.report.latency import samples
from modelkiln.report.page import render

REPORT = "report.html"
SAMPLES = "samples.json"


def write_report(folder: Path, artifact: Path, source: Path, python: str | None = None) -> None:
    """Writes report.html into the folder, and samples.json: latency.json's samples as the rows that DVC can plot.

    Args:
        folder: Holds verdict.json, predictions.json, latency.json, evidence/. What is missing or damaged is said on the
            page, and the page is written all the same.
        artifact: What was judged.
        source: Its uncompiled model.
        python: The interpreter that judged; see interpreter.chosen.

    Raises:
        ModelkilnError: the folder can't be written to.
    """
    evidence = read_evidence(folder, artifact, source)
    write_text(folder / SAMPLES, to_json(samples(evidence.latency)))
    write_text(folder / REPORT, render(evidence, python))
