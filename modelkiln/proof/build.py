"""Compiles the uncompiled model with something wrong in it, and seals the result as if all were well."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import backends
from modelkiln.artifact import SBOM, TOKENIZER, seal
from modelkiln.encoder_module import Recipe, load_module, read_recipe
from modelkiln.packed_module import pack_module
from modelkiln.proof.fault import DoesNotApplyError, Good, without_table
from modelkiln.worker import example_inputs


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Change:
    """What is wrong in a compile. By default nothing is: such an artifact has to be accepted."""

    model: Callable[[Any], None] | None = None  # alters the transformers model in place
    recipe: Callable[[Recipe], Recipe] = _same
    module: Callable[[Any], Any] = _same  # the module of the graph's layout, before it is compiled
    precision: str | None = None  # to compile in; the manifest keeps the good one's
    least: float = 0.0  # has to be off by more than this in some component of the examples, or it does not apply


def build(good: Good, folder: Path, change: Change) -> None:
    """Fills the folder with an artifact whose graph was compiled with the change, in the usual way, without a table.

    Raises:
        DoesNotApplyError: the change can't be made to this model.
    """
    import torch
    from tokenizers import Tokenizer

    manifest = good.manifest
    (spec, *others) = manifest.encoders.values()
    if any(other.graph != spec.graph for other in others):
        raise DoesNotApplyError("the encoders have graphs of their own")
    recipe = change.recipe(read_recipe(good.source))
    module = load_module(good.source, recipe)
    tokenizer = Tokenizer.from_file(str(good.folder / TOKENIZER))
    if change.model:
        texts = example_inputs("padded", tokenizer, manifest.pad_id)
        with torch.no_grad():
            right = module(*texts)[0]
            change.model(module.model)
            off = float((module(*texts)[0] - right).abs().max())
        if off < change.least:
            raise DoesNotApplyError(f"this model's vectors differ by {off:.1g} only, which the bounds allow")
    if spec.layout == "packed":
        module = pack_module(module.model, recipe)
    module = change.module(module)
    shutil.copy(good.folder / TOKENIZER, folder / TOKENIZER)
    shutil.copytree(good.folder / "task", folder / "task")
    if (good.folder / SBOM).exists():
        shutil.copy(good.folder / SBOM, folder / SBOM)
    backend = backends.load(manifest.backend)
    options, precision = backends.options_of(manifest), change.precision or manifest.precision
    graph = folder / spec.graph
    graph.parent.mkdir(parents=True)
    example = example_inputs(spec.layout, tokenizer, manifest.pad_id)
    module.max_length = max(each.max_length for each in manifest.encoders.values())
    backend.compile_graph(module, example, graph, options, precision)
    seal(folder, without_table(manifest))


def changed(change: Change) -> Callable[[Good, Path], None]:
    """Makes what `build` builds with this change."""

    def make(good: Good, folder: Path) -> None:
        build(good, folder, change)

    return make


def altered(model: Callable[[Any], None], least: float = 0.0) -> Callable[[Good, Path], None]:
    """Makes what `build` builds out of a model that was altered in place; see Change."""
    return changed(Change(model=model, least=least))
