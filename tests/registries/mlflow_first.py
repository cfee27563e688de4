"""First uploads, each into a place where there is no database yet, killed at every so-manieth step; run as a script.

    python tests/registries/mlflow_first.py FOLDER KILLS

A step is a statement of SQL or a call of MLflow's client: making the database, its migrations, and the upload itself.
Each killed one is followed by another upload, which has to leave exactly one whole version.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the project
sys.path.insert(0, str(Path(__file__).parents[1]))  # its tests

from registries.mlflow_killed import CALLS, in_child, succeeds
from registries.mlflow_places import SMALL, Place, seen, the_only, trained

from modelkiln import env
from modelkiln.registries import mlflow


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    env.keep_libraries_quiet()
    # Once, for all children; its client imports them when it opens a database.
    for store in ("model_registry", "tracking"):
        importlib.import_module(f"mlflow.store.{store}.sqlalchemy_store")
    steps = counted(lambda: upload(place(folder / "whole")), folder / "steps")
    killed = 0
    for step in range(1, steps, max(1, steps // kills)):
        there = place(folder / str(step))
        assert os.WTERMSIG(in_child(lambda there=there, step=step: upload(there, step))) == signal.SIGKILL, step
        killed += 1
        succeeds(lambda there=there: seen(there), f"looking after a kill at step {step}")
        succeeds(lambda there=there: upload(there), f"again after a kill at step {step}")
        succeeds(lambda there=there: the_only(there, wanted(there)), f"in the end, after a kill at step {step}")
    print(json.dumps({"killed": killed, "steps": steps}))


def place(folder: Path) -> Place:
    folder.mkdir()
    database, files = folder / "registry" / "mlflow.db", folder / "registry" / "files"
    return Place(mlflow.Options(f"sqlite:///{database}", str(files)), "keywords", f"sqlite:///{database}", files)


def wanted(there: Place) -> Any:
    return trained(there, there.files.parents[1] / "model", SMALL)


def upload(there: Place, step: int = 0) -> None:
    """Registers and promotes; is killed at that step, unless it is 0."""
    count(lambda at: os.kill(os.getpid(), signal.SIGKILL) if at == step else None)
    version = mlflow.register(wanted(there), there.options)
    mlflow.set_alias(version, "champion", there.options)


def counted(work: Callable[[], None], file: Path) -> int:
    """How many steps it takes."""

    def run() -> None:
        reached = [0]
        count(lambda at: reached.__setitem__(0, at))
        work()
        file.write_text(str(reached[0]))

    succeeds(run, "the first time")
    return int(file.read_text())


def count(reached: Callable[[int], None]) -> None:
    """Says of each step of this process, before it is made, which one it is."""
    from mlflow import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    number = [0]

    def step(*_: Any, **__: Any) -> None:
        number[0] += 1
        reached(number[0])

    def stepping(call: Any) -> Any:
        return lambda *arguments, **options: (step(), call(*arguments, **options))[1]

    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)
    for name in CALLS:
        setattr(MlflowClient, name, stepping(getattr(MlflowClient, name)))


if __name__ == "__main__":
    main()
