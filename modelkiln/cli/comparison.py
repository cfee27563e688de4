"""`modelkiln bench`: the comparison, on the user's own texts and machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelkiln.cli.artifacts import ArtifactRef
from modelkiln.errors import ModelkilnError


def bench(
    artifact: ArtifactRef,
    source: Annotated[Path, typer.Option(help="The uncompiled model.")] = Path("artifacts/source"),
    documents: Annotated[
        Path | None, typer.Option(help="JSONL with `id` and `text`; by default the golden samples.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Measure so many documents, the last ones, at the most.", min=1)] = 48,
    peers: Annotated[
        str, typer.Option(help="What to compare, by name. `modelkiln`: the artifact alone, which needs nothing else.")
    ] = "keybert,modelkiln",
    ngrams: Annotated[
        list[str] | None, typer.Option(help="The least and the most words in a keyword; repeat it.")
    ] = None,
    in_a_call: Annotated[str, typer.Option(help="Documents in a call.")] = "1,12",
    threads: Annotated[str, typer.Option(help="Threads for each peer.")] = "1",
    rounds: Annotated[int, typer.Option(help="How often each document is measured.", min=1)] = 3,
    starts: Annotated[int, typer.Option(help="How often each process is started.", min=1)] = 3,
    output: Annotated[Path | None, typer.Option(help="Write the figures here too, as JSON.")] = None,
) -> None:
    """Compare an artifact with KeyBERT over its uncompiled model: speed, memory, answers. Prints tables in Markdown.

    The peers run in processes of their own and in turns. modelkiln is measured cold: nothing kept between calls.

    - On your texts: `modelkiln bench artifacts/compiled --documents texts.jsonl --ngrams 1,2 --threads 1,2`
    - Where it serves, with the artifact and its runtime alone: `modelkiln bench compiled --peers modelkiln`
    """
    from modelkiln.artifact import read_manifest
    from modelkiln.bench.engine import Request, run
    from modelkiln.bench.machine import facts
    from modelkiln.bench.measure import Scenario
    from modelkiln.bench.peers import BASE, NAMES, Places
    from modelkiln.bench.table import speed_table, start_table
    from modelkiln.files import to_json, write_text
    from modelkiln.registries import folder_of

    pairs = [_pair(each) for each in ngrams or ["1,1"]]
    calls = _numbers("--in-a-call", in_a_call)
    request = Request(
        peers=tuple((name, number) for number in _numbers("--threads", threads) for name in peers.split(",")),
        scenarios=tuple(Scenario(pair, count) for pair in pairs for count in calls),
        documents=documents,
        limit=limit,
        rounds=rounds,
        starts=starts,
    )
    folder = folder_of(artifact)
    report = run(request, Places(folder, source))
    if output:
        write_text(output, to_json(report.as_json()))
    if read_manifest(folder).simulated:
        print("Simulated: run on a CPU, with a simulator of the device; nothing of this holds on one.\n")
    machine = facts()
    print(f"{machine['processor']}, {machine['cores']} cores; {rounds} rounds, the peers in turns; ", end="")
    print(f"every text cut at {report.max_length} tokens\n")
    print(speed_table(report.figures, NAMES[BASE]), end="\n\n")
    print(start_table(report.results.starts, NAMES[BASE]))
    for peer, reason in report.results.failed.items():
        print(f"\nnot measured: {peer}: {reason}")


def _pair(text: str) -> tuple[int, int]:
    numbers = _numbers("--ngrams", text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise ModelkilnError(f"--ngrams: expected two numbers, as 1,2; found {text!r}")
    return numbers[0], numbers[1]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(each) for each in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise ModelkilnError(f"{option}: expected whole numbers of at least 1, as 1,12; found {text!r}")
    return numbers
