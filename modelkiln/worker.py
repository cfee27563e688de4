"""The compile worker: a process of its own, so that a backend may come to need another interpreter.

    python -m modelkiln.worker REQUEST.json

torch-neuron needs Python 3.10 and torch 1.13 while everything else runs on today's (docs/decisions/0002-worker.md), so
this module and all its imports keep to Python 3.9 syntax, torch 1.13 and transformers 4.49; a test holds it to that.
JSON in; the graph, the tokenizer and JSON out.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelkiln import backends, distributions, layouts, toolchain, vocabulary
from modelkiln.artifact import TOKENIZER, EncoderSpec, Manifest, graph_digest
from modelkiln.encoder import Encoder
from modelkiln.encoder_module import (
    EXAMPLE_TEXTS,
    Recipe,
    load_module,
    load_tokenizer,
    padding_of_positions,
    read_recipe,
)
from modelkiln.env import keep_libraries_quiet
from modelkiln.errors import ModelkilnError
from modelkiln.files import relative_files, sha256, to_json, write_text
from modelkiln.packed_module import can_pack, pack_module
from modelkiln.vocabulary import own_words, whole_words, write_vocabulary


def main(arguments: list[str]) -> int:
    """Does what the request says; the reply is a file, since libraries print what they like."""
    keep_libraries_quiet()
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        reply = compile_encoders(request)
    except ModelkilnError as error:
        reply = {"error": str(error)}
    write_text(Path(request["reply"]), to_json(reply))
    return 1 if "error" in reply else 0


def compile_encoders(request: dict[str, Any]) -> dict[str, Any]:
    """Compiles the request's encoders and returns what the manifest has to say of them.

    Args:
        request: source and folder (paths), backend, options, precision, max_batch, encoders ({name: max_length}),
            vocabulary (the encoder to compile one for, or None), words (a file of the user's own for it, or None),
            toolchain ({library: version}, held against what is installed), serving (what the artifact needs where it is
            served: the roots of distributions.closure).

    Raises:
        ModelkilnError: another toolchain, a model that can't be compiled, an envelope that the model can't fill, a
            compiled graph that does not run.
    """
    toolchain.check(request["toolchain"])
    own = own_words(Path(request["words"])) if request["words"] else []  # a mistake in it is found before compiling
    import torch

    source, folder = Path(request["source"]), Path(request["folder"])
    backend = backends.load(request["backend"])
    options, precision = backend.Options(**request["options"]), request["precision"]
    if request["vocabulary"] and precision in backend.BATCH_DEPENDENT:
        raise ModelkilnError(
            f"compile.vocabulary must be null: in {precision} of {request['backend']} a word's vector depends on what "
            "else is in the batch, so a table would give other answers"
        )
    prepared = _prepare(source, backend, request["encoders"])
    module, tokenizer, example = prepared.module, prepared.tokenizer, prepared.example
    tokenizer.save(str(folder / TOKENIZER))
    # One for all encoders: of any batch and length, or of as many lengths as the longest of them needs.
    graph = "graphs/" + backend.GRAPH
    (folder / "graphs").mkdir()
    backend.compile_graph(module, example, folder / graph, options, precision)
    with torch.no_grad():
        texts, dimension = map(int, module(*example)[0].shape)
    lacking = backend.DEVICE and backend.DEVICE(options)
    run = None if lacking else _proven(backend, folder / graph, options, precision, example, (texts, dimension))
    encoders = {
        name: {"graph": graph, "layout": module.layout, "max_batch": request["max_batch"], "max_length": length}
        for name, length in request["encoders"].items()
    }
    if request["vocabulary"]:
        spec = EncoderSpec(**encoders[request["vocabulary"]])
        run = run or backend.load_graph(folder / graph, options, precision)
        encoder = Encoder(run, tokenizer, spec, dimension, prepared.pad_id)
        words = sorted({*whole_words(tokenizer), *own})
        digests = {name: sha256(folder / name) for name in relative_files(folder)}
        write_vocabulary(folder / vocabulary.FOLDER, words, encoder.encode, graph_digest(graph, digests))
        encoders[request["vocabulary"]]["vocabulary"] = vocabulary.FOLDER
    # Of this interpreter, since it is the one that serves.
    serving = distributions.closure(request["serving"])
    return {"encoders": encoders, "dimension": dimension, "pad_id": prepared.pad_id, "serving": serving}


def compile_again(source: Path, manifest: Manifest, folder: Path) -> None:
    """Compiles an artifact's graph once more, from the model, into `folder`, for who wants to compare the two.

    Args:
        source: The uncompiled model.
        manifest: Says what is to be compiled. Of the versions that it names this makes no use.
        folder: Exists, and is empty.

    Raises:
        ModelkilnError: the model or this machine does not allow it.
    """
    backend = backends.load(manifest.backend)
    prepared = _prepare(source, backend, {name: spec.max_length for name, spec in manifest.encoders.items()})
    options = backends.options_of(manifest)
    backend.compile_graph(prepared.module, prepared.example, folder / backend.GRAPH, options, manifest.precision)


@dataclass(frozen=True)
class _Prepared:
    """What a backend is given to compile, and what turns texts into its inputs."""

    module: Any
    example: tuple[Any, ...]
    tokenizer: Any  # without truncation and padding
    pad_id: int


def _prepare(source: Path, backend: backends.Backend, lengths: dict[str, int]) -> _Prepared:
    recipe = read_recipe(source)
    module = load_module(source, recipe)
    _check_lengths(lengths, module.model, recipe)
    tokenizer, pad_id = load_tokenizer(source, recipe)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if backend.LAYOUT == "packed" and can_pack(module.model):
        module = pack_module(module.model, recipe)
    module.max_length = max(lengths.values())
    return _Prepared(module, example_inputs(module.layout, tokenizer, pad_id), tokenizer, pad_id)


def _proven(
    backend: backends.Backend, graph: Path, options: Any, precision: str, example: Any, shape: tuple[int, int]
) -> backends.Run:
    """The graph, loaded from where it stays, once it has run: a compiler may end well and leave one that can't."""
    run = backend.load_graph(graph, options, precision)
    vectors = run(*(tensor.numpy() for tensor in example))
    if vectors.shape != shape or not np.isfinite(vectors).all():
        found = "not all finite numbers" if vectors.shape == shape else f"of shape {vectors.shape}"
        raise ModelkilnError(
            f"the compiled graph's vectors are {found}, expected {shape} finite ones: what the compiler left is of no "
            "use; try another precision, options or versions"
        )
    return run


def _check_lengths(lengths: dict[str, int], model: Any, recipe: Recipe) -> None:
    padding = padding_of_positions(model)
    reserved = 0 if padding is None else padding + 1
    positions = getattr(model.config, "max_position_embeddings", None)
    for name, length in lengths.items():
        if recipe.max_length and length > recipe.max_length:
            raise ModelkilnError(
                f"compile.encoders.{name}.max_length is {length}, but the model's own sentence_bert_config.json "
                f"cuts texts off at {recipe.max_length} tokens: longer ones would get other answers"
            )
        if positions and length > positions - reserved:
            raise ModelkilnError(
                f"compile.encoders.{name}.max_length is {length}, but the model has {positions - reserved} positions"
            )


def example_inputs(layout: str, tokenizer: Any, pad_id: int) -> Any:
    """Real tokens in the graph's layout, of several lengths and with two texts of the longest, as int64 tensors."""
    import torch

    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(EXAMPLE_TEXTS))]
    rows.append(max(rows, key=len))
    lengths = [len(row) for row in rows]
    longs = [row for row in rows if len(row) == max(lengths)]
    shorts = [row for row in rows if len(row) < max(lengths)]
    inputs = layouts.pad(rows, pad_id) if layout == "padded" else layouts.pack(longs, shorts)
    return tuple(map(torch.from_numpy, inputs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
