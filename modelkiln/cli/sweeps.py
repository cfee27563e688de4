"""`modelkiln sweep`, `leaderboard` and `adopt`: many experiments, which is the best, and into the registry with it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from modelkiln.errors import ModelkilnError


class Best(str, Enum):
    """What there can be a best of."""

    speedup = "speedup"
    p50 = "p50"
    size = "size"
    f1 = "f1"


class Engine(str, Enum):
    """What runs the cells."""

    dvc = "dvc"
    ray = "ray"


def sweep(
    model: Annotated[
        str | None, typer.Option(help="Options of conf/model, with commas. [default: the one that conf/ chooses]")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Of conf/variant. [default: all]")] = None,
    backend: Annotated[str | None, typer.Option(help="Of conf/backend. [default: all]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", "-S", help="For every cell, as env=prod; repeat it.")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="dvc: DVC's queue, on this machine. ray: on many.")] = Engine.dvc,
    workers: Annotated[
        int | None, typer.Option(help="Cells at a time, at the most. [dvc: 1; ray: as many as fit]", min=1)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only print the command of each cell.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray's, as HOST:PORT or auto. [default: one is started here]")
    ] = None,
    repository: Annotated[
        str | None, typer.Option(help="Ray: what the nodes clone. [default: this folder; with --address origin's URL]")
    ] = None,
    cpus: Annotated[float, typer.Option(help="Ray: of each cell, and threads that it is measured with.", min=0)] = 1.0,
    place: Annotated[
        list[str] | None,
        typer.Option(metavar="BACKEND=RESOURCE:N", help="Ray: what nodes have to have for a backend; repeat it."),
    ] = None,
    retries: Annotated[int, typer.Option(help="Ray: further attempts at a cell that has failed.", min=0)] = 0,
    minutes: Annotated[float | None, typer.Option(help="Ray: after which a cell has failed.", min=0)] = None,
) -> None:
    """Run the pipeline up to its verdict for each cell: model, variant and backend. Nothing is registered.

    Each cell becomes an experiment that is named after it. One that is there already is not run again; one that can't
    run fails alone, and `modelkiln leaderboard` says why.

    Example: `modelkiln sweep --backend onnxruntime,openvino --variant base`
    """
    from modelkiln.sweep import sweeping
    from modelkiln.sweep.cells import all_cells

    cells = all_cells(_names(model), _names(variant), _names(backend), set_ or [])
    if list_:
        print("\n".join(cell.command for cell in cells))
    elif engine is Engine.dvc:
        sweeping.by_dvc(cells, workers or 1)
    else:
        cluster = sweeping.cluster(address, workers, cpus, place or [])
        sweeping.by_ray(cells, cluster, repository, retries, minutes)


def adopt(
    cell: Annotated[str, typer.Argument(help="An experiment on the commit that is checked out, by its name.")],
) -> None:
    """Apply a cell's experiment, register its artifact, and move the alias to it. No stage but the upload runs.

    What is not committed stays: it is refused where it would be overwritten.

    Example: `modelkiln adopt all-MiniLM-L6-v2+base+openvino`
    """
    from modelkiln.env import keep_libraries_quiet
    from modelkiln.sweep.adopt import adopt as adopt_cell

    keep_libraries_quiet()
    receipt = adopt_cell(cell)
    name = f"{receipt['registry']}:{receipt['name']}@{receipt['alias']}"
    print(f"{name} is version {receipt['version']}, digest {receipt['digest'][:12]}")
    print("commit params.yaml, dvc.lock and receipts/ to keep it; conf/config.yaml still chooses what it chose before")


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def leaderboard(
    best: Annotated[
        Best, typer.Option(help="What the best cell is the best in, among those within the limits.")
    ] = Best.speedup,
    max_f1_loss: Annotated[
        float | None, typer.Option(help="F1 at 10 that may be lost, at the upper end of its 95% interval.")
    ] = None,
    min_agreement: Annotated[
        float | None, typer.Option(help="Share of documents with the same keywords in the same order.", min=0, max=1)
    ] = None,
    min_speedup: Annotated[
        float | None, typer.Option(help="Times as fast as the uncompiled model, a document at a time.", min=0)
    ] = None,
    max_p50: Annotated[float | None, typer.Option(help="Milliseconds for a document.", min=0)] = None,
    max_size: Annotated[float | None, typer.Option(help="MB of the artifact's files.", min=0)] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page with the plot here, too.")] = None,
    commit: Annotated[str, typer.Option(help="Whose experiments.")] = "HEAD",
) -> None:
    """Compare the experiments of a commit, and name the best by a rule of yours. Exit code 1 if there is none.

    Refused and failed cells are listed with the reason; every other one with why it is not the best.

    Example: `modelkiln leaderboard --max-f1-loss 0.01 --min-speedup 1.5 --best size --html leaderboard.html`
    """
    from modelkiln.files import write_text
    from modelkiln.sweep import experiments, shell, table
    from modelkiln.sweep.leaderboard import Rule, judge
    from modelkiln.sweep.page import render

    rule = Rule(best.value, max_f1_loss, min_agreement, min_speedup, max_p50, max_size)
    revision = shell.commit(commit)
    results = experiments.read(revision)
    if not results:
        raise ModelkilnError(f"{commit} has no experiments; `modelkiln sweep` makes them")
    board = judge(results, rule)
    table.show(board)
    if html:
        write_text(html, render(board, revision))
        print(f"wrote {html}")
    if board.best is None:
        raise ModelkilnError("no cell is within the rule; why not stands beside each")
