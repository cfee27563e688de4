"""The `modelkiln` command."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

import typer

from modelkiln.cli.artifacts import info, verdict, verify, where
from modelkiln.cli.cache import clean_cache
from modelkiln.cli.comparison import bench
from modelkiln.cli.composition import check_lock, compose, revisions
from modelkiln.cli.extraction import extract
from modelkiln.cli.lineage import lineage, sign
from modelkiln.cli.migration import migrate
from modelkiln.cli.proof import prove_gate
from modelkiln.cli.registry import diff, promote, register_trained, rollback, versions
from modelkiln.cli.sweeps import adopt, leaderboard, sweep
from modelkiln.errors import ModelkilnError
from modelkiln.progress import say

app = typer.Typer(
    help="Compile a trained transformer for serving, prove that it still gives the same answers, and register it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
COMMANDS = (extract, bench, info, verify, verdict, prove_gate, compose, check_lock, revisions, where, lineage, sign)
REGISTRY_COMMANDS = (register_trained, versions, diff, promote, rollback, migrate)
SWEEP_COMMANDS = (sweep, leaderboard, adopt, clean_cache)
for command in (*COMMANDS, *REGISTRY_COMMANDS, *SWEEP_COMMANDS):
    app.command()(command)


def main() -> None:
    """Runs the command; what the user can fix is one line on stderr and exit code 1."""
    # Keywords and file names are printed whatever the terminal's encoding.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except ModelkilnError as error:
        say(f"modelkiln: {error}")
        sys.exit(1)
    except BrokenPipeError:  # `modelkiln … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it exits
        sys.exit(1)
    except OSError as error:  # a full disk, a name that is too long
        say(f"modelkiln: {error.filename or 'output'}: {error.strerror}")
        sys.exit(1)
