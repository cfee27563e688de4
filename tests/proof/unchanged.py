"""Builds an artifact anew without a change: python -m unchanged ARTIFACT SOURCE FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from modelkiln.artifact import read_manifest
from modelkiln.proof.build import Change, build
from modelkiln.proof.fault import Good

if __name__ == "__main__":
    artifact, source, folder = map(Path, sys.argv[1:])
    build(Good(artifact, source, read_manifest(artifact)), folder, Change())
