"""The compiled encoder gives the uncompiled model's vectors, over the whole envelope and in the order of the texts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiling import EXACT, LOSSY

import modelkiln
from modelkiln import backends, layouts
from modelkiln.artifact import EncoderSpec, read_manifest
from modelkiln.encoder import Encoder
from modelkiln.encoder_module import load_module, load_tokenizer, read_recipe
from modelkiln.golden import read_samples
from modelkiln.packed_module import pack_module

# A component of a unit vector may differ so much by rounding. Measured: the uncompiled tiny model differs by 6e-7 from
# itself in float64, and up to 1.3e-6 from a compiled one on another processor; which way rounding goes depends on that.
ROUNDING = 1e-5
# The same between compiled and uncompiled, by precision. Measured for int8: at most 0.13, since random weights are the
# worst case; a vector of another text is off by about 0.4, and each test compares many. bf16 has not been measured.
ATOL = {"fp32": ROUNDING, "int8": 0.2, "bf16": 0.2}


SLOW = ("aotinductor",)  # half a minute and more of g++
BACKENDS = [pytest.param(each, marks=pytest.mark.heavy if each[0] in SLOW else ()) for each in (*EXACT, *LOSSY)]


@pytest.fixture(scope="module", params=BACKENDS, ids="-".join)
def artifact(request: pytest.FixtureRequest, tiny_artifact_for: Callable[[str, str], Path]) -> Path:
    return tiny_artifact_for(*request.param)


@pytest.fixture(scope="module")
def encoder(artifact: Path) -> Encoder:
    found: Encoder = modelkiln.load(artifact).document
    return found


@pytest.fixture(scope="module")
def atol(artifact: Path) -> float:
    return ATOL[read_manifest(artifact).precision]


@pytest.fixture(scope="module")
def reference(tiny_source: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny_source), device="cpu")


def test_every_batch_and_length_of_the_envelope_gives_the_uncompiled_vectors(
    artifact: Path, atol: float, tiny_source: Path
) -> None:
    """Not only the traced shape: each batch with each length, all mixes of padding."""
    manifest = read_manifest(artifact)
    spec = manifest.encoders["document"]
    backend = backends.load(manifest.backend)
    run = backend.load_graph(artifact / spec.graph, backend.Options(**manifest.options), manifest.precision)
    module = load_module(tiny_source, read_recipe(tiny_source))
    rng = np.random.default_rng(0)
    for batch in range(1, spec.max_batch + 1):
        for length in range(1, spec.max_length + 1):
            rows = [rng.integers(5, 1000, size).tolist() for size in rng.integers(1, length + 1, batch)]
            rows[0] = rng.integers(5, 1000, length).tolist()
            rows.sort(key=len, reverse=True)
            longs = sum(len(row) == length for row in rows)
            padded = layouts.pad(rows, manifest.pad_id)
            inputs = padded if spec.layout == "padded" else layouts.pack(rows[:longs], rows[longs:])
            with torch.inference_mode():
                (expected,) = module(*map(torch.from_numpy, padded))
            found = run(*inputs)[:batch]
            np.testing.assert_allclose(found, expected.numpy(), atol=atol, rtol=0, err_msg=f"{batch} x {length}")


def test_vectors_are_those_of_sentence_transformers(encoder: Encoder, atol: float, reference: Any) -> None:
    texts = [sample.text for sample in read_samples()] + ["", " ", "🙂", "\0", "a" * 3000]
    np.testing.assert_allclose(encoder.encode(texts), reference.encode(texts), atol=atol, rtol=0)


def test_order_is_kept_whatever_the_lengths(encoder: Encoder, atol: float) -> None:
    # Each a little longer than the one before, so that texts of different lengths share a batch, in another order.
    words = " ".join(sample.text for sample in read_samples()).split()
    texts = [" ".join(words[start : start + 1 + start // 2]) for start in range(60)]
    together = encoder.encode(texts)
    for index, text in enumerate(texts):
        np.testing.assert_allclose(together[index], encoder.encode([text])[0], atol=atol, rtol=0)


def test_vector_depends_on_its_batch_only_where_the_backend_says_so(artifact: Path, encoder: Encoder) -> None:
    manifest = read_manifest(artifact)
    texts = [sample.text for sample in read_samples()]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    difference = np.abs(encoder.encode(texts) - alone).max()
    if manifest.precision in backends.load(manifest.backend).BATCH_DEPENDENT:
        pytest.skip(f"it may; here by {difference:.1g}, which is the processor's to say")
    assert difference < ROUNDING


def test_calls_from_many_threads_give_what_calls_in_turn_give(encoder: Encoder) -> None:
    batches = [[sample.text for sample in read_samples()][start : start + 5] for start in range(0, 30, 2)]
    expected = [encoder.encode(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for found, vectors in zip(threads.map(encoder.encode, batches * 4), expected * 4, strict=True):
            np.testing.assert_allclose(found, vectors, atol=ROUNDING, rtol=0)


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_lone_surrogate_is_taken_as_the_character_for_what_is_none(encoder: Encoder) -> None:
    broken, replaced = encoder.encode(["broken \ud800 text", "broken \ufffd text"])
    assert broken.tolist() == replaced.tolist()


def test_tokens_are_counted_beyond_the_envelope(encoder: Encoder) -> None:
    text = " ".join(["a"] * 100)
    assert encoder.count_tokens([text, "a", ""]) == [100, 1, 0]


def test_white_space_reaches_the_tokenizer_as_it_is() -> None:
    """To a byte-level tokenizer a space is a part of the word; sentence-transformers leaves it there, too."""
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([sample.text for sample in read_samples()], vocab_size=600, show_progress=False)
    seen: list[list[int]] = []

    def run(ids: Any, mask: Any) -> Any:
        seen.extend(row[:length].tolist() for row, length in zip(ids, mask.sum(1), strict=True))
        return np.zeros((len(ids), 1), np.float32)

    encoder = Encoder(run, trained._tokenizer, EncoderSpec("graph", "padded", 8, 32), dimension=1, pad_id=0)
    for text in ("the tram", " the tram", "the tram\n"):
        encoder.encode([text])
    assert len({tuple(ids) for ids in seen}) == 3
    assert seen[1] == trained.encode(" the tram").ids


def test_lower_case_is_that_of_sentence_transformers(tiny_model: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": true}')
    texts = ["The TRAM opened.", "ΟΔΟΣ Straße İstanbul"]
    ours, _ = load_tokenizer(folder, read_recipe(folder))
    theirs = SentenceTransformer(str(folder), device="cpu").tokenizer
    assert [ours.encode(text).ids for text in texts] == [theirs(text)["input_ids"] for text in texts]
    assert ours.encode("TRAM").ids == ours.encode("tram").ids


@pytest.mark.parametrize(
    "newer", [{"pre_tokenizer": {"type": "OfTomorrow"}}, {"version": "9.0"}], ids=["part", "version"]
)
def test_tokenizer_that_a_newer_library_has_saved_is_refused_in_one_line(
    newer: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    """By a part that this one lacks. test_interpreters has an old transformers and a class that it does not know."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    saved = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**saved, **newer}))
    with pytest.raises(modelkiln.ModelkilnError) as raised:
        load_tokenizer(folder, read_recipe(folder))
    assert f"{folder}: transformers {metadata.version('transformers')} can't load its tokenizer (" in str(raised.value)
    assert "compile with the one that saved it" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_not_text_is_refused_by_its_place(encoder: Encoder) -> None:
    with pytest.raises(modelkiln.ModelkilnError, match=r"texts\[1\]: expected text, found bytes"):
        encoder.encode(["fine", b"bytes"])  # type: ignore[list-item]


@pytest.mark.parametrize("pooling", ["cls", "max", "mean", "mean_sqrt_len"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_both_layouts_pool_as_sentence_transformers_does(pooling: str, kind: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from tiny import build_tiny_model

    folder = build_tiny_model(tmp_path / "model", pooling=pooling, normalize=False, kind=kind)
    texts = ["The tram line opened.", "Rain", "Rain fell", "The tram line closed."]
    model = SentenceTransformer(str(folder), device="cpu")
    rows = model.tokenizer(texts)["input_ids"]
    recipe = read_recipe(folder)
    padded = load_module(folder, recipe)
    packed = pack_module(padded.model, recipe)
    for module in (padded, packed):
        for order, inputs in layouts.batches(module.layout, rows, 8, model.tokenizer.pad_token_id):
            with torch.inference_mode():
                (found,) = module(*map(torch.from_numpy, inputs))
            expected = model.encode([texts[index] for index in order])
            # Components of about 1 to 20. The module differs by up to 3e-5 from itself in float64.
            np.testing.assert_allclose(found.numpy()[: len(order)], expected, rtol=1e-4, atol=1e-4)


def test_module_that_can_not_be_compiled_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    modules = (tiny_model / "modules.json").read_text().replace("Normalize", "Dense")
    (tmp_path / "modules.json").write_text(modules)
    (tmp_path / "1_Pooling").symlink_to(tiny_model / "1_Pooling")
    with pytest.raises(modelkiln.ModelkilnError, match=r"can't compile the modules \['Dense'\]"):
        read_recipe(tmp_path)


FORKS = """
import os, sys, threading, modelkiln
extractor = modelkiln.load(sys.argv[1], threads=2)
text = "The council approved the new tram line on Tuesday."
stop = threading.Event()
def work():
    while not stop.is_set():
        extractor.extract_keywords(text)
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
for _ in range(20):
    child = os.fork()
    if not child:
        try:
            extractor.extract_keywords(text)
        except modelkiln.ModelkilnError as error:
            os._exit(3 if "which was forked from it: load in each process" in str(error) else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
stop.set()
[thread.join() for thread in threads]
print(extractor.extract_keywords(text))
"""


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "generic", "aotinductor"])
def test_forked_child_is_told_to_load_for_itself(backend: str, tiny_artifact_for: Callable[[str, str], Path]) -> None:
    """While threads of its parent extract, whose locks it inherits: some hung for ever."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(tiny_artifact_for(backend, "fp32"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
