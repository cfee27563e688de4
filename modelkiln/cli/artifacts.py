"""`modelkiln info`, `verify`, `verdict` and `where`: what there is, and whether it is as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelkiln.errors import ModelkilnError

ArtifactRef = Annotated[
    str,
    typer.Argument(metavar="ARTIFACT", help="An artifact's folder, or mlflow:NAME@ALIAS, or mlflow:NAME/VERSION."),
]


def info(artifact: ArtifactRef) -> None:
    """Say what an artifact is, what it was made from, and with what."""
    from modelkiln.artifact import read_manifest
    from modelkiln.registries import folder_of
    from modelkiln.vocabulary import read_words

    folder = folder_of(artifact)
    manifest = read_manifest(folder)
    size = sum(file.size for file in manifest.files.values())
    for name, encoder in manifest.encoders.items():
        _row(
            f"encoder {name}",
            f"{encoder.graph}, up to {encoder.max_batch} texts of {encoder.max_length} tokens in a call",
        )
        if encoder.vocabulary:
            table = [file.size for path, file in manifest.files.items() if path.startswith(f"{encoder.vocabulary}/")]
            words = len(read_words(folder / encoder.vocabulary))
            _row("  its vocabulary", f"{words} words, encoded when it was compiled, {sum(table) / 1e6:.1f} MB")
    _row("task", manifest.task)
    _row("backend", f"{manifest.backend} {manifest.precision}")
    if manifest.machine:
        needs = manifest.machine
        _row("needs", f"{needs.system} on {needs.architecture} with {', '.join(needs.instructions)}")
    _row("vectors", f"{manifest.dimension} dimensions")
    _row("source", f"{manifest.source['model']} ({manifest.source['variant']})")
    _row("revision", f"{manifest.source['id']} {manifest.source['revision']}, by {manifest.source['source']}")
    _row("toolchain", ", ".join(f"{library} {version}" for library, version in manifest.toolchain.items()))
    _row("files", f"{len(manifest.files)}, {size / 1e6:.1f} MB")
    _row("digest", manifest.digest)


def verify(
    artifact: ArtifactRef,
    key: Annotated[Path | None, typer.Option(help="A public key: check its owner's signature, too.")] = None,
    signature: Annotated[
        Path | None, typer.Option(help="Where that is. [default: beside the artifact, as compiled.sig]")
    ] = None,
    provenance: Annotated[
        Path | None, typer.Option(help="What `modelkiln lineage --json` wrote: check that it is so, too.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Judge it too, by what the uncompiled model said: reports/validation/evidence/reference."),
    ] = None,
    reports: Annotated[
        Path, typer.Option(help="Folder for the verdict, with --reference; `upload.reports` takes it from there.")
    ] = Path("reports/verified"),
    python: Annotated[
        str | None, typer.Option(help="Interpreter that has the backend's runtime and pytest, with --reference.")
    ] = None,
) -> None:
    """Check every byte of an artifact against its manifest. Exit code 1 if it was altered.

    With --reference it is run as well, and held to what a validation has recorded of the uncompiled model, by all
    checks and the same bounds: for a machine with a device, or of another kind, that has only what serves. Exit code 1
    if it does not pass.

    Example: `modelkiln verify artifacts/compiled --reference reference --reports verified`
    """
    from modelkiln import backends, suite
    from modelkiln.artifact import verify as verify_artifact
    from modelkiln.registries import folder_of

    folder = folder_of(artifact)
    manifest = verify_artifact(folder)
    backends.require_whole(folder, manifest)
    print(f"{artifact}: {len(manifest.files)} files, all as they were compiled; digest {manifest.digest}")
    if key:
        from modelkiln import signing

        signing.verify(folder, key, signature or signing.signature_of(folder))
        print(f"{artifact}: signed by the owner of {key}")
    if provenance:
        from modelkiln.lineage.comparison import verify_provenance

        print("\n".join(verify_provenance(artifact, manifest.digest, provenance)))
    if reference is None:
        return
    found = suite.judge_by_recording(folder, reference, reports, python)
    if not found.passed:
        raise ModelkilnError(f"the verdict is negative: {found.reason()}; all of it is in {reports}")
    print(f"passed: all {len(found.applicable())} checks by {reference}; the verdict is in {reports}")


def verdict(
    path: Annotated[Path, typer.Argument(help="A verdict.json.")] = Path("reports/validation/verdict.json"),
    artifact: Annotated[Path, typer.Option(help="The artifact that it is about, or its manifest.")] = Path(
        "artifacts/compiled"
    ),
) -> None:
    """Print a verdict, each figure beside its bound. Exit code 1 if it is negative, or was not earned, for CI.

    It is held to what the checks make of such an artifact, and to the bounds of params.yaml, if that is here: as upload
    does it (docs/verdict.md).
    """
    from modelkiln import gate, params
    from modelkiln.artifact import MANIFEST, read_manifest
    from modelkiln.verdict import read_verdict

    found = read_verdict(path)
    width = max((len(check) + len(figure) for check, figure, _, _ in found.figures()), default=0) + 4
    for check, figure, value, bound in found.figures():
        print(f"{f'{check}: {figure}':{width}}{value:>12}   {bound}")
    passed = sum(check.outcome == "passed" for check in found.checks)
    print(f"{passed} of {len(found.applicable())} checks passed")
    if not found.passed:
        raise ModelkilnError(f"the verdict is negative: {found.reason()}")
    bounds = params.load().validate.bounds if params.PARAMS.exists() else None
    manifest = read_manifest(artifact.parent if artifact.name == MANIFEST else artifact)
    gate.require_pass(found, manifest, bounds, "not believed")
    print(f"passed: artifact {found.artifact}")


def where() -> None:
    """Say where the pipeline's results are, and whether the registry really holds the version. Exit code 1 if not."""
    from modelkiln import params, registration
    from modelkiln.artifact import read_manifest

    manifest = read_manifest(Path("artifacts/compiled"))
    receipt = registration.read_receipt(Path("receipts/upload.json"))
    if not registration.is_registered(receipt, params.load().upload) or receipt["digest"] != manifest.digest:
        raise ModelkilnError(
            "receipts/upload.json is not about this artifact in this registry; "
            "run `dvc repro --force --single-item upload`"
        )
    _row("artifact", "artifacts/compiled")
    _row("report", "reports/validation/report.html")
    _row(
        "registered",
        f"{receipt['registry']}:{receipt['name']}@{receipt['alias']}, version {receipt['version']}",
    )
    _row("registry", receipt["location"])


def _row(name: str, value: str) -> None:
    print(f"{name:18}{value}")
