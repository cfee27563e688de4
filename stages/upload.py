"""Registers the artifact: artifacts/compiled and its verdict -> a version in the registry, and receipts/upload.json."""

from __future__ import annotations

from pathlib import Path

from modelkiln import params, registration
from modelkiln.artifact import read_manifest
from modelkiln.contents import VERDICT_SIGNATURE
from modelkiln.files import read_json, to_json, write_text
from modelkiln.verdict import EVIDENCE, VERDICT, completed, read_verdict
from stages import COMPILED, RECEIPT, REPORTS, run


def upload() -> None:
    """The receipt of a registered version; refuses without a positive verdict."""
    section = params.load()
    registration.check_asked_for(read_manifest(COMPILED), section.compile)
    verdict, reports = read_verdict(REPORTS / VERDICT), Path(section.upload.reports)
    if reports != REPORTS:
        verdict = completed(verdict, by=read_verdict(reports / VERDICT))
    predictions = read_json(reports / "predictions.json", "the predictions")
    bounds = section.validate.bounds
    signature = reports / EVIDENCE / VERDICT_SIGNATURE
    signed = signature.read_text(encoding="utf-8") if signature.exists() else ""
    receipt = registration.upload(COMPILED, verdict, bounds, predictions, section.upload, section.download, signed)
    write_text(RECEIPT, to_json(receipt))


if __name__ == "__main__":
    run(upload)
