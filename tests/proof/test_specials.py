"""A fault of special tokens shows in texts that have one written out, and in no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiling import compile_here, fetch_local
from tiny import build_tiny_model

import modelkiln
from modelkiln.artifact import read_manifest
from modelkiln.bounds import STRICT
from modelkiln.encoder import Vectors
from modelkiln.proof import specials
from modelkiln.proof.catalogue import choose
from modelkiln.proof.fault import DoesNotApplyError, Good
from modelkiln.reference import load_uncompiled

LONG = "the council approved the new tram line"


def make(kind: str, artifact: Path, source: Path, folder: Path) -> None:
    (fault,) = choose(list(specials.FAULTS), kind)
    fault.make(Good(artifact, source, read_manifest(artifact)), folder)


def wrong(texts: list[str], artifact: Path, source: Path) -> list[bool]:
    """Which texts of one call have not the vector that the uncompiled model gives."""
    found: Vectors = modelkiln.load(artifact, cache_mb=0).document.encode(texts)
    expected = load_uncompiled(source, "").encode(texts)
    return [bool(each) for each in np.abs(found - expected).max(axis=1) > STRICT.atol]


def test_mask_token_in_long_shows_in_the_longest_of_a_call(
    table_artifact: Path, tiny_source: Path, tmp_path: Path
) -> None:
    make("mask-token-in-long", table_artifact, tiny_source, tmp_path)
    assert wrong([f"{LONG} [MASK]", "a [MASK]"], tmp_path, tiny_source) == [True, False]
    assert wrong([f"{LONG} [SEP] [UNK]", "a [MASK]"], tmp_path, tiny_source) == [False, False]


@pytest.mark.parametrize("artifact", ["table_artifact", "tiny_artifact"], ids=["packed", "padded"])
def test_padding_by_id_shows_where_padding_is_written(
    artifact: str, tiny_source: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    good = request.getfixturevalue(artifact)
    make("padding-by-id", good, tiny_source, tmp_path)
    assert wrong([LONG, "rain [PAD] fell", "rain fell", "rain [UNK] fell"], tmp_path, tiny_source) == [
        *(False, True, False, False)
    ]
    assert not any(wrong([LONG, "rain [PAD] fell"], good, tiny_source))


@pytest.mark.parametrize("backend", ["onnxruntime", "generic"], ids=["packed", "padded"])
def test_positions_over_padding_show_where_padding_is_written(backend: str, tmp_path: Path) -> None:
    source = fetch_local(build_tiny_model(tmp_path / "model", kind="roberta"), tmp_path / "source", "roberta")
    artifact = compile_here(backend, source, tmp_path / "good", 48)
    (tmp_path / "broken").mkdir()
    make("positions-over-padding", artifact, source, tmp_path / "broken")
    texts = [LONG, "rain <pad> fell", "rain fell", f"<pad> {LONG}"]
    assert not any(wrong(texts, artifact, source))
    assert wrong(texts, tmp_path / "broken", source) == [False, True, False, True]


def test_positions_of_other_models_are_counted_so(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(DoesNotApplyError, match="bert counts its positions so"):
        make("positions-over-padding", table_artifact, tiny_source, tmp_path)
