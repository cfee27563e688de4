"""`python -m modelkiln.report FOLDER`: writes the report again, from what is in the folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelkiln.report import REPORT, write_report

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m modelkiln.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="reports/validation")
    parser.add_argument("--artifact", type=Path, default=Path("artifacts/compiled"), help="[%(default)s]")
    parser.add_argument("--source", type=Path, default=Path("artifacts/source"), help="[%(default)s]")
    given = parser.parse_args()
    write_report(given.folder, given.artifact, given.source)
    print(given.folder / REPORT)
