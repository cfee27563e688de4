"""Whether a command that is written down somewhere is one that there is, with its subcommand and options."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import typer
from dvc.cli.parser import get_main_parser
from imports import ROOT

from modelkiln.cli import app


def check(command: Sequence[str]) -> None:
    """Raises what the program says of it, where it is one that can be asked; or that there is no such program."""
    program, *arguments = command
    if program in ASKED:
        ASKED[program](arguments)
    elif not shutil.which(program):
        raise FileNotFoundError(program)


def modelkiln_commands() -> dict[str, Any]:
    """Each `modelkiln NAME` that there is."""
    return typer.main.get_command(app).commands  # type: ignore[attr-defined, no-any-return]


def _make(arguments: list[str]) -> None:
    subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)


def _modelkiln(arguments: list[str]) -> None:
    name, *rest = arguments
    modelkiln_commands()[name].make_context(name, rest)


def _dvc(arguments: list[str]) -> None:
    get_main_parser().parse_args(arguments)


ASKED: dict[str, Callable[[list[str]], None]] = {"make": _make, "modelkiln": _modelkiln, "dvc": _dvc}
