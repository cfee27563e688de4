"""A fault in what an artifact says leaves its vectors as they are, and says something else."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import modelkiln
from modelkiln.artifact import SBOM, read_manifest, verify
from modelkiln.proof import statements
from modelkiln.proof.catalogue import choose
from modelkiln.proof.fault import Fault, Good
from modelkiln.sbom import read

SAYS = {
    "other-pad-id": {"pad_id"},
    "other-batch": {"encoders"},
    "other-options": {"options"},
    "other-precision": {"precision"},
    "other-toolchain": {"toolchain"},
    "other-machine": {"machine"},
}
BESIDE = {
    "sbom-version": SBOM,
    "sbom-incomplete": SBOM,
    "stop-word-missing": "task/stop_words.json",
    "stop-word-added": "task/stop_words.json",
    "language-added": "task/stop_words.json",
    "stray-file": "notes.txt",
    "weights-as-npy": "task/data.npy",
    "weights-zipped": "task/data.zip",
}


@pytest.mark.parametrize("fault", statements.FAULTS, ids=lambda fault: fault.name)
def test_fault_alters_what_it_says_and_no_vector(
    fault: Fault, table_artifact: Path, tiny_source: Path, tmp_path: Path
) -> None:
    before = read_manifest(table_artifact)
    fault.make(Good(table_artifact, tiny_source, before), tmp_path)
    after = verify(tmp_path)
    said, says = asdict(before), asdict(after)
    assert {name for name in said if said[name] != says[name]} == {"digest", *SAYS.get(fault.name, {"files"})}
    altered = {name for name in after.files if before.files.get(name) != after.files[name]}
    assert altered == {BESIDE[fault.name]} if fault.name in BESIDE else not altered
    texts = ["the council", "Rain.", "tram"]
    broken, right = (modelkiln.load(folder, cache_mb=0).word for folder in (tmp_path, table_artifact))
    np.testing.assert_allclose(broken.encode(texts), right.encode(texts), atol=1e-6)


def test_lists_differ_in_one_entry(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    for kind, name in BESIDE.items():
        (tmp_path / kind).mkdir()
        (fault,) = choose(list(statements.FAULTS), kind)
        fault.make(Good(table_artifact, tiny_source, read_manifest(table_artifact)), tmp_path / kind)
        found[kind] = tmp_path / kind / name
    listed = read((table_artifact / SBOM).read_text())
    assert read(found["sbom-version"].read_text()) == {**listed, "tokenizers": statements.VERSION}
    assert set(listed) - set(read(found["sbom-incomplete"].read_text())) == {"tokenizers"}
    words = set(json.loads((table_artifact / BESIDE["stop-word-missing"]).read_text())["english"])
    fewer, more, languages = (
        json.loads(found[kind].read_text()) for kind in ("stop-word-missing", "stop-word-added", "language-added")
    )
    assert len(words - set(fewer["english"])) == len(set(more["english"]) - words) == 1
    assert (set(languages), set(languages["english"])) == ({"english", "german"}, words)
    weights = tiny_source / "model.safetensors"
    matrix = np.load(found["weights-as-npy"])
    assert any(each.shape == matrix.shape and np.array_equal(each, matrix) for each in load_file(weights).values())
    assert zipfile.ZipFile(found["weights-zipped"]).read("data") == weights.read_bytes()
