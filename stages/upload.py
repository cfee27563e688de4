"""Registers the artifact: artifacts/compiled and its verdict -> a version in the registry, and receipts/upload.json."""

from __future__ import annotations

from modelkiln import params, registration
from modelkiln.files import read_json, to_json, write_text
from modelkiln.verdict import VERDICT, read_verdict
from stages import COMPILED, RECEIPT, REPORTS, run


def upload() -> None:
    """The receipt of a registered version; refuses without a positive verdict."""
    verdict = read_verdict(REPORTS / VERDICT)
    predictions = read_json(REPORTS / "predictions.json", "the predictions")
    section = params.load()
    receipt = registration.upload(COMPILED, verdict, predictions, section.upload, section.download)
    write_text(RECEIPT, to_json(receipt))


if __name__ == "__main__":
    run(upload)
