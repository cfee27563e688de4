"""The `modelkiln` command."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from modelkiln.bench.command import bench
from modelkiln.errors import ModelkilnError
from modelkiln.progress import say, track

app = typer.Typer(
    help="Compile a trained transformer for serving, prove that it still gives the same answers, and register it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

ArtifactRef = Annotated[
    str,
    typer.Argument(metavar="ARTIFACT", help="An artifact's folder, or mlflow:NAME@ALIAS, or mlflow:NAME/VERSION."),
]
DOCUMENTS_AT_ONCE = 32  # they share the encoding of the phrases that they share


class Diversify(StrEnum):
    """How to keep keywords from being all alike."""

    mmr = "mmr"
    maxsum = "maxsum"


class Written(StrEnum):
    """What `compose` may be limited to."""

    params = "params"
    toolchain = "toolchain"


def main() -> None:
    """Runs the command; what the user can fix is one line on stderr and exit code 1."""
    # Keywords and file names are printed whatever the terminal's encoding.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except ModelkilnError as error:
        say(f"modelkiln: {error}")
        sys.exit(1)
    except BrokenPipeError:  # `modelkiln … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it exits
        sys.exit(1)
    except OSError as error:  # a full disk, a name that is too long
        say(f"modelkiln: {error.filename or 'output'}: {error.strerror}")
        sys.exit(1)


@app.command()
def extract(
    artifact: ArtifactRef,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Text files, one document each. None, or -: one document from stdin."),
    ] = None,
    top_n: Annotated[int, typer.Option(help="Keywords for each document, at the most.")] = 5,
    ngrams: Annotated[str, typer.Option(help="The least and the most words in a keyword, as 1,2.")] = "1,1",
    stop_words: Annotated[str, typer.Option(help="`english`, `none`, or a file with one word per line.")] = "english",
    diversify: Annotated[Diversify | None, typer.Option(help="Prefer keywords that are not alike.")] = None,
    diversity: Annotated[float, typer.Option(help="For mmr: 0 (nearness alone) to 1 (distance alone).")] = 0.5,
) -> None:
    """Extract keywords, as KeyBERT does it. Writes one line of JSON per document to stdout.

    Example: `modelkiln extract artifacts/compiled article.txt --ngrams 1,2`
    """
    import modelkiln

    options: dict[str, Any] = {
        "top_n": top_n,
        "keyphrase_ngram_range": _ngrams(ngrams),
        "stop_words": _stop_words(stop_words),
        "use_mmr": diversify is Diversify.mmr,
        "use_maxsum": diversify is Diversify.maxsum,
        "diversity": diversity,
    }
    paths = files or [Path("-")]
    missing = [str(path) for path in paths if str(path) != "-" and not path.exists()]
    if missing:
        raise ModelkilnError(f"no such file: {', '.join(missing)}")
    extractor = modelkiln.load(artifact)
    groups = [paths[start : start + DOCUMENTS_AT_ONCE] for start in range(0, len(paths), DOCUMENTS_AT_ONCE)]
    for group in track(groups, f"extracting keywords, {DOCUMENTS_AT_ONCE} documents at a time", len(groups)):
        answers = extractor.extract_keywords([_read(path) for path in group], **options)
        for path, keywords in zip(group, answers, strict=True):
            print(json.dumps({"document": str(path), "keywords": keywords}, ensure_ascii=False), flush=True)


@app.command()
def info(artifact: ArtifactRef) -> None:
    """Say what an artifact is, what it was made from, and with what."""
    from modelkiln.artifact import read_manifest
    from modelkiln.registries import folder_of

    manifest = read_manifest(folder_of(artifact))
    size = sum(file.size for file in manifest.files.values())
    for name, encoder in manifest.encoders.items():
        _row(
            f"encoder {name}",
            f"{encoder.graph}, up to {encoder.max_batch} texts of {encoder.max_length} tokens in a call",
        )
    _row("task", manifest.task)
    _row("backend", f"{manifest.backend} {manifest.precision}")
    _row("vectors", f"{manifest.dimension} dimensions")
    _row("source", f"{manifest.source['model']} ({manifest.source['variant']})")
    _row("revision", f"{manifest.source['id']} {manifest.source['revision']}, by {manifest.source['source']}")
    _row("toolchain", ", ".join(f"{library} {version}" for library, version in manifest.toolchain.items()))
    _row("files", f"{len(manifest.files)}, {size / 1e6:.1f} MB")
    _row("digest", manifest.digest)


@app.command()
def verify(artifact: ArtifactRef) -> None:
    """Check every byte of an artifact against its manifest, loading none of it. Exit code 1 if it was altered."""
    from modelkiln.artifact import verify as verify_artifact
    from modelkiln.registries import folder_of

    manifest = verify_artifact(folder_of(artifact))
    print(f"{artifact}: {len(manifest.files)} files, all as they were compiled; digest {manifest.digest}")


@app.command()
def verdict(
    path: Annotated[Path, typer.Argument(help="A verdict.json.")] = Path("reports/validation/verdict.json"),
) -> None:
    """Print a verdict, each figure beside its bound. Exit code 1 if it is negative, for CI."""
    from modelkiln.verdict import read_verdict

    found = read_verdict(path)
    width = max((len(check) + len(figure) for check, figure, _, _ in found.figures()), default=0) + 4
    for check, figure, value, bound in found.figures():
        print(f"{f'{check}: {figure}':{width}}{value:>12}   {bound}")
    passed = sum(check.outcome == "passed" for check in found.checks)
    print(f"{passed} of {len(found.checks)} checks passed")
    if not found.passed:
        raise ModelkilnError(f"the verdict is negative: {'; '.join(found.failures())}")
    print(f"passed: artifact {found.artifact}")


@app.command()
def compose(
    overrides: Annotated[list[str] | None, typer.Argument(help="Choices, as `backend=generic env=prod`.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if params.yaml differs.")] = False,
    only: Annotated[Written | None, typer.Option(help="Write one of the two files.")] = None,
) -> None:
    """Write params.yaml from conf/, and toolchain.yaml from the versions that are installed.

    Example: `modelkiln compose env=prod`, then `dvc repro`.
    """
    from modelkiln import compose as composing
    from modelkiln import toolchain
    from modelkiln.files import write_text
    from modelkiln.params import PARAMS

    if only is not Written.toolchain:
        data = composing.compose(overrides=overrides or [])
        if check:
            composing.check(data)
            print(f"{PARAMS} is what conf/ gives")
        else:
            write_text(PARAMS, composing.to_yaml(data))
            print(f"wrote {PARAMS}")
    if only is not Written.params:
        if check:
            recorded = toolchain.record()
            toolchain.check(toolchain.read(set(recorded) - {"python"}))
            print(f"{toolchain.TOOLCHAIN} is what is installed")
        else:
            toolchain.write()
            print(f"wrote {toolchain.TOOLCHAIN}")


@app.command()
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
    _row("report", "reports/validation/verdict.json")
    _row(
        "registered",
        f"{receipt['registry']}:{receipt['name']}@{receipt['alias']}, version {receipt['version']}",
    )
    _row("registry", receipt["location"])


app.command()(bench)


def _row(name: str, value: str) -> None:
    print(f"{name:18}{value}")


def _read(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelkilnError(f"{path}: not UTF-8 at byte {error.start}; convert it (iconv -t utf-8)") from error
    except OSError as error:
        raise ModelkilnError(f"{path}: {error.strerror}") from error


def _ngrams(text: str) -> tuple[int, int]:
    try:
        least, most = (int(number) for number in text.split(","))
    except ValueError:
        raise ModelkilnError(f"--ngrams: expected two numbers, as 1,2; found {text!r}") from None
    return least, most


def _stop_words(text: str) -> str | list[str] | None:
    if text == "none":
        return None
    path = Path(text)
    if text == "english" or not path.exists():
        return text
    return [line.strip().lower() for line in _read(path).splitlines() if line.strip()]


if __name__ == "__main__":
    main()
