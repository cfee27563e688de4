"""`python -m modelkiln.cli`."""

from __future__ import annotations

from modelkiln.cli import main

main()
