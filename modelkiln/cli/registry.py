"""`modelkiln versions`, `promote`, `rollback`, `diff` and `register-trained`: what is in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

REGISTRY_HELP = "A registry: mlflow or neptune. [default: the project's, or else mlflow]"
VersionRef = Annotated[
    str, typer.Argument(metavar="VERSION", help="NAME/3, NAME@champion, or the same behind `mlflow:` or `neptune:`.")
]
RegistryName = Annotated[str | None, typer.Option("--registry", help=REGISTRY_HELP, show_default=False)]


def versions(
    name: Annotated[str, typer.Argument(help="Of the registered model, as keywords-minilm.")],
    registry: RegistryName = None,
) -> None:
    """List a model's complete versions: aliases, what each is, what it was compiled from, and what from it."""
    from modelkiln.registries import project_place

    place = project_place(registry)
    for version in place.registry.versions(name, place.options):
        tags = version.tags
        what = f"{tags.get('backend', '?')} {tags.get('precision', '')}" if version.kind == "compiled" else version.kind
        origin = f"from {tags['source_id']}" if "source_id" in tags else ""
        links = f"compiled into {', '.join(version.compiled)}" if version.compiled else ""
        aliases = ", ".join(version.aliases)
        columns = (f"{version.version:>4}", f"{aliases:12}", f"{what:20}", version.digest[:12], origin, links)
        print("  ".join(column for column in columns if column).rstrip())


def promote(
    version: VersionRef,
    alias: Annotated[str, typer.Argument(help="What serving follows.")] = "champion",
) -> None:
    """Move an alias to a version whose verdict is positive.

    Example: `modelkiln promote keywords-minilm/3 champion`
    """
    from modelkiln import promotion
    from modelkiln.registries import find_version

    found, place = find_version(version)
    promotion.promote(found, alias, place)
    print(f"{place.name}:{found.name}@{alias} is version {found.version}")


def rollback(
    name: Annotated[str, typer.Argument(help="Of the registered model, as keywords-minilm.")],
    alias: Annotated[str, typer.Argument(help="What serving follows.")] = "champion",
    registry: RegistryName = None,
) -> None:
    """Move an alias back to the version that it stood for before. A second rollback undoes the first."""
    from modelkiln import promotion
    from modelkiln.registries import project_place

    place = project_place(registry)
    before, now = promotion.roll_back(name, alias, place)
    print(f"{place.name}:{name}@{alias} is version {now.version}, and was {before.version}")


def diff(before: VersionRef, after: VersionRef) -> None:
    """Say what changed between two versions: source, toolchain, options, files, figures.

    Example: `modelkiln diff keywords-minilm/2 keywords-minilm@champion`
    """
    from modelkiln.difference import differences, read_facts
    from modelkiln.registries import find_version

    found = differences(*(read_facts(*find_version(text)) for text in (before, after)))
    for name, old, new in found:
        print(f"{name}: {old} -> {new}")
    if not found:
        print("no difference")


def register_trained(
    folder: Annotated[Path, typer.Argument(help="The model: config.json, weights in safetensors, the tokenizer.")],
    name: Annotated[str, typer.Argument(help="To register it under, as keywords-minilm-trained.")],
    alias: Annotated[str, typer.Option(help="Moves to the new version once that is complete.")] = "champion",
    golden: Annotated[
        Path | None, typer.Option(help="JSONL of id and text for the golden samples. [default: modelkiln's own]")
    ] = None,
    project: Annotated[str, typer.Option(help="Groups versions in the registry.")] = "modelkiln-trained",
    registry: RegistryName = None,
) -> None:
    """Put a trained model into a registry, with golden samples that KeyBERT makes and a card.

    Example: `modelkiln register-trained models/minilm-news keywords-minilm-trained`, then
    `dvc exp run -S variant=trained`
    """
    from modelkiln.env import keep_libraries_quiet
    from modelkiln.golden import read_samples
    from modelkiln.registries import project_place, require_name
    from modelkiln.trained import register_trained as register

    keep_libraries_quiet()
    require_name(name, "NAME")
    require_name(alias, "--alias")
    texts = [sample.text for sample in read_samples(golden)]
    place = project_place(registry)
    version = register(folder, texts, name, project, place)
    place.registry.set_alias(version, alias, place.options)
    print(f"{version.ref}, alias {alias}, digest {version.digest[:12]}")
