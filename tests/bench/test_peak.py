"""The share of the machine's matrix products that the encoder reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelkiln.bench.peak import long_documents, measure_peak, operations
from modelkiln.golden import read_samples

MINILM = {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}


def test_a_token_of_minilm_costs_21_million_operations() -> None:
    linear, attention = operations(MINILM, 256)
    assert linear == pytest.approx(21.23e6, rel=1e-3)
    assert attention == 6 * 2 * (2 * 256 * 384)  # for each token and layer the scores, and the mixing of the values


def test_long_documents_are_long_and_differ() -> None:
    documents = long_documents(["The tram line opens.", "It rains, and it is cold today."], 50)
    assert all(len(document.split()) > 50 for document in documents)
    assert len(set(documents)) == len(documents)


def test_share_is_measured_on_full_documents(table_artifact: Path, tiny_source: Path) -> None:
    found = measure_peak(table_artifact, tiny_source, [sample.text for sample in read_samples()], rounds=1)
    assert found["tokens"] == 48
    assert found["peak_gflops"] == max(each["gflops"] for each in found["products"])
    assert {each["library"] for each in found["products"]} == {"numpy", "torch", "onnxruntime"}
    rate = found["tokens_per_s"] * found["mflop_per_token"]["linear"] / 1e3
    assert found["share_linear"] == pytest.approx(rate / found["peak_gflops"])
    assert 0 < found["share_linear"] < found["share_with_attention"] < 1
    assert sum(found["profile"].values()) == pytest.approx(1)
    assert found["profile"]["Gemm"] > 0
