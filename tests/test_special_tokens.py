"""A special token that is written in a text counts as it does for the uncompiled model, in every layout and backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiling import EXACT, compile_here, fetch_local, skip_where_absent
from tiny import build_tiny_model

import modelkiln
from modelkiln import ModelkilnError, layouts
from modelkiln.artifact import read_manifest
from modelkiln.encoder_module import load_module, read_recipe
from modelkiln.packed_module import MODEL_TYPES, can_pack, pack_module
from modelkiln.reference import load_uncompiled

ROUNDING = 1e-4  # in a component of a unit vector; measured up to 1.3e-5, at a wrong position 0.05 and more
PADDED = ("distilbert", "electra", "mpnet")  # models whose layers PackedModule does not know
LONG = "The old bridge at the harbour opens for ships at noon, and the tram waits until it has been closed again."
HEAVY = [(backend, kind) for backend, _ in EXACT for kind in (*MODEL_TYPES, *PADDED)]
QUICK = [("onnxruntime", "roberta"), ("onnxruntime", "bert"), ("openvino", "roberta"), ("generic", "mpnet")]


@pytest.fixture(scope="module")
def source_of(made_once: Any) -> Callable[[str], Path]:
    """Gives the tiny model of a kind, as the download stage leaves it."""

    def made(kind: str) -> Path:
        model = made_once(f"model-{kind}", lambda folder: build_tiny_model(folder, kind=kind))
        return made_once(f"source-{kind}", lambda folder: fetch_local(model, folder, kind))

    return made


# Alone, doubled, first, in the middle and last.
FORMS = ("{0}", "{0}{0}", "{0} {0} {0}", "{0} Rain fell.", "Rain {0} fell.", "Rain{0}{0}fell.", "Rain fell. {0}")


def calls_with(special: list[str]) -> list[list[str]]:
    """Texts with these tokens in them, by the calls of a graph that they share."""
    texts = [form.format(token) for token in special for form in FORMS]
    alone = [[text] for text in texts]
    of_one_length = [[text, text.replace("Rain", "Wind"), text, "a"] for text in texts]
    the_longest = [f"{LONG} {token} {token} the end" for token in special]
    return [*alone, *of_one_length, [LONG, *texts], [*the_longest, "Rain"]]


@pytest.mark.parametrize("kind", [*MODEL_TYPES, *PADDED])
def test_both_layouts_give_each_token_the_position_that_the_model_gives_it(
    kind: str, source_of: Callable[[str], Path]
) -> None:
    source = source_of(kind)
    reference = load_uncompiled(source, "")
    recipe = read_recipe(source)
    padded = load_module(source, recipe)
    assert can_pack(padded.model) is (kind in MODEL_TYPES)
    modules = [padded, *([pack_module(padded.model, recipe)] if kind in MODEL_TYPES else [])]
    special = reference.tokenizer.all_special_tokens
    assert len(special) == 5
    for texts in calls_with(special):
        rows = reference.tokenizer(texts, truncation=True, max_length=48)["input_ids"]
        expected = reference.encode(texts)
        for module in modules:
            for order, inputs in layouts.batches(module.layout, rows, 64, reference.tokenizer.pad_token_id):
                with torch.inference_mode():
                    (found,) = module(*map(torch.from_numpy, inputs))
                np.testing.assert_allclose(found.numpy()[: len(order)], expected[order], atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.heavy, id="-".join(each)) for each in HEAVY],
)
def test_compiled_vectors_are_those_of_sentence_transformers(
    backend: str, kind: str, source_of: Callable[[str], Path], tmp_path: Path
) -> None:
    skip_where_absent(backend)
    source = source_of(kind)
    folder = compile_here(backend, source, tmp_path / "compiled", 48)
    layout = read_manifest(folder).encoders["document"].layout
    assert (layout == "packed") is (kind in MODEL_TYPES and backend in ("aotinductor", "onnxruntime"))
    encoder = modelkiln.load(folder, cache_mb=0).document
    reference = load_uncompiled(source, "")
    for texts in calls_with(reference.tokenizer.all_special_tokens):
        np.testing.assert_allclose(encoder.encode(texts), reference.encode(texts), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("kind", ["camembert", "mpnet", "roberta", "xlm-roberta"])
def test_positions_that_are_never_used_hold_no_text(
    kind: str, source_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """The model has 64, and counts them from the padding token's id + 1."""
    source = Path(shutil.copytree(source_of(kind), tmp_path / "source"))
    (source / "sentence_bert_config.json").write_text("{}")
    with pytest.raises(ModelkilnError, match=r"max_length is 63, but the model has 62 positions"):
        compile_here("generic", source, tmp_path / "compiled", 63)
