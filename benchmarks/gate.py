"""The negative controls on the real model, for each backend: runs `modelkiln prove-gate`, and writes docs/gate.md.

    python -m benchmarks.gate --backends onnxruntime,generic --kinds layer-skipped,race --good-runs 2
    python -m benchmarks.gate --checks named --golden few.jsonl

Without options: every backend, every kind, by all checks, 20 good runs; an hour for each backend. By the named checks,
and with six golden samples, a quarter of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import holds
from modelkiln import backends, params, plugins, toolchain
from modelkiln.bench.machine import facts
from modelkiln.compiler import compile_artifact
from modelkiln.compose import CONF, compose
from modelkiln.errors import ModelkilnError
from modelkiln.files import read_json, to_json, write_text
from modelkiln.progress import say
from modelkiln.proof.prove import Row

SOURCE = Path("artifacts/source")
PAGE = Path("docs/gate.md")
FIGURES = Path("docs/gate.json")
Proofs = Mapping[str, Mapping[str, Any]]


def main() -> None:
    """Proves each backend, and writes the page of all that there are: what is not asked for again stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = [name for name in plugins.known("backends") if not backends.load(name).DEVICE]
    parser.add_argument("--backends", default=",".join(here))
    parser.add_argument("--kinds")
    parser.add_argument("--checks", default="all")
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--good-runs", type=int, default=20)
    parser.add_argument("--output", type=Path, default=PAGE, help="the page; its figures go beside it, as .json")
    asked = parser.parse_args()
    figures = asked.output.with_suffix(".json")
    proofs = read_json(figures, "the figures")["proofs"] if figures.exists() else {}
    for backend in asked.backends.split(","):
        try:
            further = ["--checks", asked.checks, "--good-runs", str(asked.good_runs)]
            further += ["--kinds", asked.kinds] if asked.kinds else []
            further += ["--golden", str(asked.golden)] if asked.golden else []
            proofs[backend] = merged(proofs.get(backend), prove_backend(backend, further))
        except ModelkilnError as error:
            say(f"gate: {backend}: {error}; going on without it")
    machine = facts()
    write_text(figures, to_json({"machine": machine, "proofs": proofs}))
    write_text(asked.output, page(proofs, f"{machine['processor']}, {machine['cores']} cores"))
    say(f"wrote {asked.output} and {figures}")


def prove_backend(backend: str, further: list[str]) -> dict[str, Any]:
    """What prove-gate found about the real model, compiled for the backend with its vocabulary.

    Raises:
        ModelkilnError: this machine can't compile for it, or prove-gate did not get to the end.
    """
    wanted = params.from_data(compose(overrides=[f"backend={backend}"]), str(CONF)).compile
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        artifact, output = Path(scratch) / "compiled", Path(scratch) / "proof.json"
        versions = toolchain.read([wanted.backend, wanted.task])
        compile_artifact(SOURCE, artifact, replace(wanted, vocabulary="word"), versions)
        command = [sys.executable, "-m", "modelkiln.cli", "prove-gate", str(artifact), "--source", str(SOURCE)]
        command += ["--output", str(output), *further]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if not output.exists():
            raise ModelkilnError(f"prove-gate ended with exit code {done.returncode}; what it said stands above")
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found


def merged(earlier: Mapping[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """What was found, and of an earlier run the kinds, or the good runs, that were not asked for again."""
    if earlier is None:
        return found
    again = {row["kind"] for row in found["rows"]}
    rows = [row for row in earlier["rows"] if row["kind"] not in again] + found["rows"]
    good = found if found["good_runs"] else earlier
    return {"rows": rows, "good_runs": good["good_runs"], "refusals": good["refusals"]}


def page(proofs: Proofs, machine: str) -> str:
    """The page in Markdown: what was caught by which check, a table for each backend."""
    lines = ["# The gate's negative controls", ""]
    lines += ["Made by `python -m benchmarks.gate` from the real model, all-MiniLM-L6-v2 in fp32, on " + machine + "."]
    lines += ["", "## What an artifact holds, and what compares it", ""]
    lines += ["Of each thing in an artifact: the check that would see if it were another. No row is empty.", ""]
    lines += [*holds.table(), "", "What a verdict is worth, and what can still be forged: [verdict](verdict.md)."]
    lines += ["", "## Broken on purpose", ""]
    lines += [
        "Each line is an artifact that was broken on purpose, in one way, and sealed as if it were not, where that is",
        "said; the check that refused it, with the figure that gave it away; and how many others of the checks that",
        "judged it failed. With `--checks named` those that the kind names judge it, up to the first that refuses it.",
    ]
    for backend, proof in sorted(proofs.items()):
        rows = [Row(**row) for row in proof["rows"]]
        refused = sum(row.outcome == "refused" for row in rows)
        idle = sum(row.outcome == "not applicable" for row in rows)
        lines += ["", f"### {backend}", ""]
        lines += [
            f"{refused} of {len(rows) - idle} broken artifacts refused by a check that is there for it"
            + (f" ({idle} kinds do not apply)" if idle else "")
            + f"; the good one judged {proof['good_runs']} times, refused {len(proof['refusals'])} times."
        ]
        lines += ["", *_table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: list[Row]) -> list[str]:
    lines = ["| kind | what is wrong | caught by | figure | bound | others |", "|---|---|---|---|---|---|"]
    for row in rows:
        caught = row.caught_by or f"**{row.outcome}**"
        figure = row.figure or row.reason.replace("|", "\\|")
        lines.append(f"| `{row.kind}` | {row.meaning} | {caught} | {figure} | {row.bound} | {row.others or ''} |")
    return lines


if __name__ == "__main__":
    main()
