"""`modelkiln sign`: who vouches for an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelkiln.errors import ModelkilnError


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
