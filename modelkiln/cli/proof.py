"""`modelkiln prove-gate`: whether the checks would notice."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from modelkiln.cli.artifacts import ArtifactRef
from modelkiln.errors import ModelkilnError


def prove_gate(
    artifact: ArtifactRef = "artifacts/compiled",
    source: Annotated[Path, typer.Option(help="The uncompiled model.")] = Path("artifacts/source"),
    kinds: Annotated[str | None, typer.Option(help="Only these kinds, with commas between them.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list the kinds, and which checks are for them.")] = False,
    golden: Annotated[Path | None, typer.Option(help="Golden samples; by default modelkiln's own.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="A corpus; by default the golden samples.")] = None,
    params: Annotated[
        Path | None, typer.Option(help="Take the bounds from this params.yaml. Default: what fp32 has to reach.")
    ] = None,
    checks: Annotated[
        str,
        typer.Option(
            help="all; or named: those that are for the kind, up to the first that refuses it, in a fifth of the time."
        ),
    ] = "all",
    good_runs: Annotated[int, typer.Option(help="How often the good artifact is judged; 0: not at all.", min=0)] = 20,
    output: Annotated[Path | None, typer.Option(help="Write the table here too, as JSON.")] = None,
) -> None:
    """Show that the checks refuse wrong artifacts. Exit code 1 if one slips through, or a good one is refused.

    Breaks a good artifact in every way there is a kind of, has each judged as `validate` does, and prints which check
    refused it. Then has the good one judged again and again, on 1 and 2 threads, while the machine is kept busy.

    Example: `modelkiln prove-gate artifacts/compiled --kinds layer-skipped,race --good-runs 2`
    """
    from modelkiln import params as settings
    from modelkiln.artifact import verify
    from modelkiln.bounds import STRICT
    from modelkiln.files import to_json, write_text
    from modelkiln.golden import SHIPPED
    from modelkiln.params import Validate
    from modelkiln.proof.catalogue import all_faults, choose
    from modelkiln.proof.fault import Good
    from modelkiln.proof.prove import ALL, NAMED, as_json, prove, table
    from modelkiln.registries import folder_of

    folder = folder_of(artifact)
    good = Good(folder, source, verify(folder))
    faults = choose(all_faults(good), kinds)
    if list_:
        for fault in faults:
            print(f"{fault.name:40}{fault.meaning} [{', '.join(fault.areas)}]")
        return
    if params is None and good.manifest.precision != "fp32":
        raise ModelkilnError(
            f"{artifact}: it is {good.manifest.precision}, and what fp32 has to reach would refuse it; "
            "give --params, a params.yaml with the bounds that it was accepted by"
        )
    if checks not in (ALL, NAMED):
        raise ModelkilnError(f"--checks has to be {ALL} or {NAMED}, found {checks!r}")
    bounds = settings.load(params).validate.bounds if params else STRICT
    texts = str(golden or SHIPPED)
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: nothing is left behind
    proof = prove(good, faults, Validate(bounds, texts, str(corpus or texts), profile_rounds=0), good_runs, checks)
    if output:
        write_text(output, to_json(as_json(proof)))
    print(table(proof.rows))
    print(f"\ngood artifact: refused {len(proof.refusals)} times, judged {proof.good_runs} times")
    if failures := proof.failures():
        raise ModelkilnError(f"the checks can't be trusted: {'; '.join(failures)}")


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signal module's)
    raise KeyboardInterrupt
