"""Cells: one model in one variant by one backend; each becomes an experiment that is called after it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml

from modelkiln import plugins
from modelkiln.compose import CONF, compose
from modelkiln.errors import ModelkilnError, raise_all

GROUPS = ("model", "variant", "backend")  # folders of conf/
TARGET = "validate"  # the last stage of a cell: the one behind it registers
JOINT = "+"  # between the parts of a name: git, DVC and shells take it as it is
DIGITS = 8


@dataclass(frozen=True)
class Cell:
    """One experiment to be made."""

    model: str  # an option of conf/model
    variant: str  # of conf/variant
    backend: str  # of conf/backend, which says the precision, too
    further: tuple[str, ...] = ()  # more of what `dvc exp run -S` takes, the same for all cells of a sweep

    @property
    def name(self) -> str:
        """The experiment's name: the same for the same cell, another one for another."""
        digest = hashlib.sha256("\n".join(self.further).encode()).hexdigest()[:DIGITS]
        return JOINT.join([self.model, self.variant, self.backend, *([digest] if self.further else [])])

    @property
    def overrides(self) -> list[str]:
        """What is chosen, as Hydra takes it."""
        return [f"{group}={getattr(self, group)}" for group in GROUPS] + list(self.further)

    @property
    def arguments(self) -> list[str]:
        """What `dvc exp run` takes to make the experiment, but for where and when."""
        return ["--name", self.name, *(part for each in self.overrides for part in ("-S", each)), TARGET]

    @property
    def command(self) -> str:
        """The shell line that makes the experiment here and now."""
        return shlex.join(["dvc", "exp", "run", *self.arguments])


def all_cells(
    models: Sequence[str] = (),
    variants: Sequence[str] = (),
    backends: Sequence[str] = (),
    further: Sequence[str] = (),
    conf: Path = CONF,
) -> list[Cell]:
    """Every combination of the options, in their order.

    Args:
        models: Options of conf/model; none: the one that conf/config.yaml chooses.
        variants: Options of conf/variant; none: all.
        backends: Options of conf/backend; none: all. Whether they are installed, a cell finds out by itself.
        further: For every cell, as `env=prod` or `validate.profile_rounds=0`.
        conf: The folder.

    Raises:
        ModelkilnError: an unknown option, all of them at once, or something further that conf/ does not take.
    """
    compose(conf, further)
    asked = {"model": models, "variant": variants, "backend": backends}
    mistakes = [
        f"unknown {group} {name!r}{plugins.suggest(name, options(group, conf))}"
        for group, names in asked.items()
        for name in names
        if name not in options(group, conf)
    ]
    raise_all("sweep", mistakes)
    chosen = (
        models or [default_model(conf)],
        variants or options("variant", conf),
        backends or options("backend", conf),
    )
    # A name that is given twice is one cell.
    unique = (dict.fromkeys(group) for group in chosen)
    return [Cell(model, variant, backend, tuple(further)) for model, variant, backend in product(*unique)]


def options(group: str, conf: Path = CONF) -> list[str]:
    """The options of a folder of conf/, in alphabetical order."""
    return sorted(file.stem for file in (conf / group).glob("*.yaml"))


def default_model(conf: Path = CONF) -> str:
    """The option of conf/model that conf/config.yaml chooses."""
    chosen = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    for entry in chosen:
        if isinstance(entry, dict) and "model" in entry:
            return str(entry["model"])
    raise ModelkilnError(f"{conf / 'config.yaml'}: chooses no model; give --model, as {options('model', conf)[0]}")
