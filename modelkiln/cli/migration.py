"""`modelkiln migrate`: what survived the end of hosted Neptune, into a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modelkiln.errors import ModelkilnError

EXPORT = "neptune-export"


def migrate(
    origin: Annotated[
        str, typer.Option("--from", metavar=f"{EXPORT}:DIR", help="The folder that neptune-exporter has written.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="mlflow[:TRACKING_URI]",
            help="Without an address: the one in params.yaml, or else in MLFLOW_TRACKING_URI.",
        ),
    ],
    project: Annotated[
        str | None, typer.Option(metavar="WORKSPACE/PROJECT", help="Only the versions of this project.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
) -> None:
    """Carry all model versions of a Neptune export into a registry, with cards, golden samples and lineage.

    Run it as often as you like: what is there already stays as it is. Exit code 1 if a version was refused.

    Example: `modelkiln migrate --from neptune-export:exports --to mlflow:https://mlflow.example`
    """
    from modelkiln.migration import check
    from modelkiln.migration import migrate as migrate_all
    from modelkiln.migration.plan import make_plan
    from modelkiln.progress import say

    kind, _, folder = origin.partition(":")
    if kind != EXPORT or not folder:
        raise ModelkilnError(
            f"--from {origin}: expected {EXPORT}:DIR, with the folder that neptune-exporter has written"
        )
    registry, options = _target(to)
    plan = make_plan(Path(folder).expanduser(), project)
    refused: list[str] = []
    carried = there = 0
    left: list[str] = []
    if dry_run:
        for planned in plan.versions:
            if reason := check(planned):
                refused.append(f"{planned.version.id}: {reason}")
            else:
                print(f"{planned.version.id}: would become one of {registry}:{planned.version.model}, {planned.kind}")
    else:
        for number, outcome in enumerate(migrate_all(plan, registry, options), 1):
            name = outcome.planned.version.id
            if outcome.version is None:
                refused.append(f"{name}: {outcome.refused}")
                say(f"{number} of {len(plan.versions)}: {name} refused")
                continue
            print(
                f"{name}: {outcome.version.ref}, {outcome.planned.kind}{', already there' if outcome.was_there else ''}"
            )
            there += outcome.was_there
            carried += not outcome.was_there
            left += [f"{name}: {attribute}" for attribute in outcome.left]
    for note in (*plan.notes, *_left(left)):
        say(f"note: {note}")
    if not dry_run:
        print(f"{carried} carried, {there} already there, {len(refused)} refused")
    if refused:
        raise ModelkilnError(
            "\n".join([f"refused, of {len(plan.versions)} versions:", *(f"  - {each}" for each in refused)])
        )


def _target(to: str) -> tuple[str, Any]:
    """The registry's name, and its options."""
    from modelkiln import params, registries

    name, _, address = to.partition(":")
    registries.load(name)
    if address:
        if name != "mlflow":
            raise ModelkilnError(f"--to {to}: {name} takes no address here; write --to {name}")
        values = {"tracking_uri": address}
        if address.startswith("sqlite:///"):  # MLflow's own choice would depend on the working folder
            values["artifact_root"] = str(Path(address.removeprefix("sqlite:///")).parent / "files")
        return name, params.options("registries", name, values, "--to")
    return name, registries.project_place(name).options


def _left(left: list[str]) -> list[str]:
    if not left:
        return []
    return [f"files that are no part of a model are not carried ({len(left)}: {left[0]} …)"]
