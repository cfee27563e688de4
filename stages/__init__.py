"""The four stages of dvc.yaml. Each reads params.yaml, calls the library, and writes its outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from modelkiln.env import keep_libraries_quiet
from modelkiln.errors import ModelkilnError

SOURCE = Path("artifacts/source")
COMPILED = Path("artifacts/compiled")
REPORTS = Path("reports/validation")
RECEIPT = Path("receipts/upload.json")


def run(stage: Callable[[], None]) -> None:
    """Runs a stage; what the user can fix is one line and exit code 1, all else a traceback."""
    keep_libraries_quiet()
    try:
        stage()
    except ModelkilnError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(1)
