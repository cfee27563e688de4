"""`modelkiln lineage` and `sign`: where an artifact comes from, and who vouches for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelkiln.errors import ModelkilnError


def lineage(
    ref: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="An artifact's folder, mlflow:NAME@ALIAS or mlflow:NAME/VERSION (or neptune:…), an artifact's content "
            "digest, or a git commit of this project.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="As an in-toto statement with SLSA provenance, for `verify --provenance`.")
    ] = False,
    builder: Annotated[
        str | None, typer.Option(help="In that: the URI of who ran the pipeline. [default: one that claims nothing]")
    ] = None,
) -> None:
    """Say where an artifact comes from: source, params, toolchain, files, verdict, commit, and which registry has it.

    What nobody here can tell is said to be unknown, and why.

    Example: `modelkiln lineage mlflow:keywords-minilm@champion`, or `modelkiln lineage HEAD`
    """
    from modelkiln.files import to_json
    from modelkiln.lineage.statement import BUILDER, make_statement
    from modelkiln.lineage.trace import trace
    from modelkiln.lineage.tree import show

    chain = trace(ref)
    if as_json:
        print(to_json(make_statement(chain, builder or BUILDER)), end="")
    else:
        show(chain)


def sign(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact's folder.")],
    key: Annotated[
        Path | None, typer.Option(help="The private key, an EC key in PEM. [default: $MODELKILN_SIGNING_KEY]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the signature here. [default: beside the artifact, as compiled.sig]")
    ] = None,
) -> None:
    """Sign an artifact, by OpenSSF's model-signing; `verify --key` checks that.

    The key's password, if it has one, is in MODELKILN_SIGNING_PASSWORD. Upload signs by itself where the environment
    names a key.

    Example: `modelkiln sign artifacts/compiled --key team.pem`, then
    `modelkiln verify artifacts/compiled --key team.pub`
    """
    from modelkiln import env, signing

    chosen = key or env.signing_key()
    if chosen is None:
        raise ModelkilnError(f"no key to sign with: name the file of one by --key, or in {env.SIGNING_KEY}")
    path = output or signing.signature_of(artifact)
    signing.sign(artifact, chosen, path)
    print(f"{path}: the signature of {artifact}")
