"""`python -m modelkiln.cli`."""

from modelkiln.cli import main

main()
