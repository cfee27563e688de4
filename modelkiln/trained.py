"""From a folder with a trained model to a registered version, with golden samples that KeyBERT makes and a card."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln import contents, registries, sources, tasks, toolchain
from modelkiln.files import read_json, relative_files, to_json
from modelkiln.git import git
from modelkiln.progress import step
from modelkiln.reference import load_uncompiled
from modelkiln.sources import local

TASK = "keywords"


def register_trained(
    folder: Path, texts: Sequence[str], name: str, project: str, where: registries.Place
) -> registries.Version:
    """Registers an uncompiled model as a trained version; a second time it is the version that is there.

    Args:
        folder: config.json, weights in safetensors, the tokenizer; as sentence-transformers or transformers save them.
        texts: The inputs of its golden samples.
        name: Of the registered model.
        project: Groups versions in the registry.
        where: The registry.

    Raises:
        ModelkilnError: no model there, one with code, or one that can't be loaded; or the registry failed.
    """
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        model = Path(scratch)
        local.fetch(model, local.Options(str(folder)), [])
        files = relative_files(model)
        sources.refuse_code(files)
        sources.require_model(files, str(folder))
        extras = {path: to_json(data) for path, data in zip(contents.GOLDEN_FILES, _golden(model, texts), strict=True)}
        card = write_card(name, model, len(texts))
        extras[contents.CARD] = card
        listed = contents.list_contents(model, extras, origin="")
        made = registries.Registration(
            name=name,
            project=project,
            kind=contents.TRAINED,
            digest=contents.digest_of(listed),
            model=model,
            extras={**extras, contents.CONTENTS: listed},
            tags={"task": TASK, "git_commit": git("rev-parse", "HEAD") or "unknown"},
            card=card,
        )
        return where.registry.register(made, where.options)


def write_card(name: str, model: Path, samples: int) -> str:
    """The model card of a trained version, in Markdown; the same for the same model and libraries."""
    config = read_json(model / "config.json", "the model's config")
    facts = {
        "architecture": ", ".join(config.get("architectures") or [str(config.get("model_type", "unknown"))]),
        "layers": config.get("num_hidden_layers", "unknown"),
        "dimension": config.get("hidden_size", "unknown"),
        "vocabulary": config.get("vocab_size", "unknown"),
        "files": len(relative_files(model)),
        "size": f"{sum((model / each).stat().st_size for each in relative_files(model)) / 1e6:.1f} MB",
    }
    made_by = ", ".join(f"{library} {version}" for library, version in toolchain.installed(toolchain.CHECKS).items())
    return "\n".join(
        [
            f"# {name}",
            "",
            f"A trained model for {TASK}, not compiled yet. `dvc exp run -S variant=trained validate` compiles it, and "
            "holds the compiled model to the predictions that are registered here.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {fact} | {value} |" for fact, value in facts.items()),
            "",
            f"Golden samples: {samples} texts in {len(tasks.load(TASK).GOLDEN_PARAMS)} modes, by {made_by}.",
            "",
        ]
    )


def _golden(model: Path, texts: Sequence[str]) -> tuple[list[str], list[dict[str, Any]], list[Any]]:
    """Inputs, inference params and predictions."""
    task = tasks.load(TASK)
    with step(f"predicting the golden samples, {len(texts)} texts in {len(task.GOLDEN_PARAMS)} modes"):
        encode = load_uncompiled(model, "save it with sentence-transformers' or transformers' save_pretrained").encode
        known: dict[str, Any] = {}  # the modes ask for the same phrases

        def embed(wanted: Sequence[str]) -> Any:
            new = [text for text in dict.fromkeys(wanted) if text not in known]
            known.update(zip(new, encode(new, show_progress_bar=False), strict=True))
            return np.stack([known[text] for text in wanted])

        reference = task.reference(embed)
        answers = [task.predict(reference, texts, mode) for mode in task.GOLDEN_PARAMS]
    predictions = [[[[word, float(score)] for word, score in each] for each in answer] for answer in answers]
    return list(texts), list(task.GOLDEN_PARAMS), predictions
