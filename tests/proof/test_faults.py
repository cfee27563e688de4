"""Each kind of broken artifact is broken, in the way that it says, and sealed as if it were not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compiling import EXACT

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import MANIFEST, read_manifest, verify
from modelkiln.bounds import STRICT
from modelkiln.encoder import Vectors
from modelkiln.golden import read_samples
from modelkiln.proof import files, graph, texts, weights
from modelkiln.proof.build import Change, build
from modelkiln.proof.catalogue import all_faults, choose
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good

# All lengths, as the checks have them, and what hostile input has.
WORDS = " ".join(sample.text for sample in read_samples()[:3]).split()
TEXTS = [" ".join(WORDS[:count]) for count in range(1, 49)] + ["Café Müller", "中文沒有空格", "The Council APPROVED"]
TEXTS += ["a " * 37]  # one token each
ELSEWHERE = ("nan-in-a-batch", "batch-off", "twins-off", "one-encoder-cut")  # show in other calls, or encoders
SEALED = [fault for fault in (*weights.FAULTS, *graph.FAULTS, *texts.FAULTS) if fault.name not in ELSEWHERE]
QUICK = ("generic", "onnxruntime")  # one for each layout
BACKENDS = [
    pytest.param(backend, precision, id=backend, marks=() if backend in QUICK else pytest.mark.heavy)
    for backend, precision in EXACT
]


def good(artifact: Path, source: Path) -> Good:
    return Good(artifact, source, read_manifest(artifact))


def encode(artifact: Path) -> tuple[Vectors, Vectors]:
    """The texts' vectors in one call, and each alone; the artifact has to be sealed."""
    encoder = modelkiln.load(artifact, cache_mb=0, threads=1).document
    return encoder.encode(TEXTS), np.concatenate([encoder.encode([text]) for text in TEXTS])


def off(vectors: Vectors, others: Vectors) -> float:
    """The largest difference; infinite where one is not finite."""
    return float(np.nan_to_num(np.abs(vectors - others), nan=np.inf).max())


@pytest.fixture(scope="module")
def right(table_artifact: Path) -> Vectors:
    return encode(table_artifact)[0]


@pytest.mark.parametrize("fault", SEALED, ids=lambda fault: fault.name)
def test_fault_shows_in_the_vectors(
    fault: Fault, table_artifact: Path, tiny_source: Path, right: Vectors, tmp_path: Path
) -> None:
    try:
        fault.make(good(table_artifact, tiny_source), tmp_path)
    except DoesNotApplyError:
        assert fault.name in ("bias-left-out", "gelu-approximated", "no-special-tokens")  # the tiny model's own
        return
    together, alone = encode(tmp_path)
    if fault.areas == ("invariance",):
        assert off(together, alone) > 2 * STRICT.invariance_atol
    else:
        shows = max(off(together, right), off(alone, right)) > STRICT.atol
        assert shows == (fault.areas != graph.AGAIN)  # what no text shows is another graph all the same


@pytest.mark.parametrize(("backend", "precision"), BACKENDS)
def test_without_a_change_the_same_model_is_built(
    backend: str, precision: str, tiny_artifact_for: Callable[[str, str], Path], tiny_source: Path, tmp_path: Path
) -> None:
    artifact = tiny_artifact_for(backend, precision)
    build(good(artifact, tiny_source), tmp_path, Change())
    assert read_manifest(tmp_path).files == read_manifest(artifact).files  # every backend's graphs are deterministic


@pytest.mark.parametrize(("backend", "precision"), BACKENDS)
def test_noise_in_a_graph_is_another_one_in_each_call(
    backend: str, precision: str, tiny_artifact_for: Callable[[str, str], Path], tiny_source: Path, tmp_path: Path
) -> None:
    (random,) = choose(list(graph.FAULTS), "random")
    random.make(good(tiny_artifact_for(backend, precision), tiny_source), tmp_path)
    encoder = modelkiln.load(tmp_path, cache_mb=0).document
    assert off(encoder.encode(TEXTS[:4]), encoder.encode(TEXTS[:4])) > STRICT.atol


def test_length_and_batch_that_a_fault_names_are_the_only_ones(
    table_artifact: Path, tiny_source: Path, right: Vectors, tmp_path: Path
) -> None:
    faults = {fault.name: fault for fault in graph.FAULTS}
    found = {}
    for name in ("bucket-off", "length-off", "length-between", "nan-when-long", "nan-in-a-batch"):
        (tmp_path / name).mkdir()
        faults[name].make(good(table_artifact, tiny_source), tmp_path / name)
        _, alone = encode(tmp_path / name)
        found[name] = {index for index in range(len(TEXTS)) if off(alone[index], right[index]) > STRICT.atol}
    encoder = modelkiln.load(table_artifact).document
    tokens = [min(count, 48) for count in encoder.count_tokens(TEXTS)]
    assert found["bucket-off"] == {index for index, count in enumerate(tokens) if 12 < count <= 24}
    assert found["length-off"] == {index for index, count in enumerate(tokens) if count == 18}
    assert found["length-between"] == {index for index, count in enumerate(tokens) if count == 37} != set()
    assert found["nan-when-long"] == {index for index, count in enumerate(tokens) if count > 36}
    assert found["nan-in-a-batch"] == set()  # alone, a text is in a batch of two with a packed call's empty rectangle
    broken = modelkiln.load(tmp_path / "nan-in-a-batch").document
    assert [bool(np.isnan(broken.encode(TEXTS[20 : 20 + count])).any()) for count in (2, 3, 4)] == [False, True, False]


def test_number_of_texts_and_twins_that_a_fault_names_are_the_only_ones(
    table_artifact: Path, tiny_source: Path, right: Vectors, tmp_path: Path
) -> None:
    calls = {2: [3, 3], 3: [0, 1, 2], 47: [0, 1, 2, 3] * 11 + [0, 1, 2], 48: [0, 1, 2, 3] * 12}  # short: one call each
    found = {}
    for fault in choose(list(graph.FAULTS), "batch-off,twins-off"):
        (tmp_path / fault.name).mkdir()
        fault.make(good(table_artifact, tiny_source), tmp_path / fault.name)
        encoder = modelkiln.load(tmp_path / fault.name, cache_mb=0).document
        worst = {count: off(encoder.encode([TEXTS[i] for i in rows]), right[rows]) for count, rows in calls.items()}
        found[fault.name] = {count for count, difference in worst.items() if difference > STRICT.atol}
    assert found == {"batch-off": {48}, "twins-off": {2, 47, 48}}


def test_one_encoder_is_cut_off_and_the_other_is_not(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    (fault,) = choose(list(texts.FAULTS), "one-encoder-cut")
    fault.make(good(table_artifact, tiny_source), tmp_path)
    broken, whole = modelkiln.load(tmp_path, cache_mb=0), modelkiln.load(table_artifact, cache_mb=0)
    assert off(broken.document.encode(TEXTS), whole.document.encode(TEXTS)) == 0
    wrong = np.abs(broken.word.encode(TEXTS) - whole.word.encode(TEXTS)).max(axis=1) > STRICT.atol
    assert wrong.tolist() == [count > 24 for count in whole.word.count_tokens(TEXTS)]


def test_damaged_files_are_not_what_was_sealed(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    it = good(table_artifact, tiny_source)
    faults = [fault for fault in (*files.byte_faults(it), *files.FAULTS) if not fault.loads]
    assert {fault.name for fault in faults} >= {f"byte-flipped:{name}" for name in (*it.manifest.files, MANIFEST)}
    for number, fault in enumerate(faults):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault.make(it, folder)
        with pytest.raises(ModelkilnError):
            modelkiln.load(folder)


def test_other_faults_of_files_are_sealed(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    it = good(table_artifact, tiny_source)
    for number, fault in enumerate(fault for fault in files.FAULTS if fault.loads):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault.make(it, folder)
        assert verify(folder).digest != it.manifest.digest
        modelkiln.load(folder)


def test_good_artifact_stays_as_it_was(table_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    before = read_manifest(table_artifact)
    for number, fault in enumerate(files.FAULTS):
        (tmp_path / str(number)).mkdir()
        fault.make(good(table_artifact, tiny_source), tmp_path / str(number))
    assert verify(table_artifact) == before


def test_without_a_table_its_faults_do_not_apply(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    (swapped,) = choose(list(files.FAULTS), "table-two-swapped")
    with pytest.raises(DoesNotApplyError, match="no compiled vocabulary"):
        swapped.make(good(tiny_artifact, tiny_source), tmp_path)


def test_kinds_are_many_and_have_names_of_their_own(table_artifact: Path, tiny_source: Path) -> None:
    names = [fault.name for fault in all_faults(good(table_artifact, tiny_source))]
    assert len(names) == len(set(names)) >= 85


def test_choice_of_kinds_is_by_name(table_artifact: Path, tiny_source: Path) -> None:
    faults = all_faults(good(table_artifact, tiny_source))
    assert [fault.name for fault in choose(faults, "race, layer-skipped")] == ["layer-skipped", "race"]
    assert len(choose(faults, "byte-flipped")) == len(read_manifest(table_artifact).files) + 1
    with pytest.raises(ModelkilnError, match="unknown rase; `modelkiln prove-gate --list` names all"):
        choose(faults, "rase,race")
