"""One peer: a process that loads one keyword extractor, then answers requests until its standard input ends.

    python peer.py '{"kind": "sentence-transformers", "threads": 1, …}'

A request and a reply are one line of JSON each. This file runs under other interpreters too, where modelkiln is not
installed, so it imports the standard library and the peer's own libraries, and nothing else.

    {"op": "extract", "texts": […], "ngrams": [1, 1], "together": false}
                            seconds of each call, and keywords of each text
    {"op": "fresh"}         forget what was met
    {"op": "reset_peak"}    measure the peak of the memory from here on
    {"op": "peak"}          that peak, in MB
    {"op": "about"}         versions
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from typing import Any

STATUS = "/proc/self/status"
WORD_LENGTH, DOCUMENT_LENGTH = 25, 512  # tokens, in the replaced system

Extract = Callable[..., Any]  # (text or list of texts, ngrams) -> keywords, as KeyBERT gives them
Forget = Callable[[], None]  # what was met


def main() -> None:
    """Answers until there are no more requests."""
    # Before Python 3.11 nothing else keeps the modules beside this file from hiding libraries.
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]
    # Libraries print; what they print must not come between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # or importing OpenVINO reports to its makers
    config = json.loads(sys.argv[1])
    load, libraries = KINDS[config["kind"]]
    extract, forget = load(config)
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, Any] = {}
        if request["op"] == "extract":
            reply = _extract(extract, request)
        elif request["op"] == "fresh":
            forget()
        elif request["op"] == "reset_peak":
            reply = {"reset": _reset_peak()}
        elif request["op"] == "peak":
            reply = {"peak_mb": peak_mb()}
        elif request["op"] == "about":
            reply = {"versions": _versions(libraries)}
        print(json.dumps(reply), file=replies, flush=True)


def load_modelkiln(config: dict[str, Any]) -> tuple[Extract, Forget]:
    """modelkiln; with `cache_mb` (0: nothing is remembered between calls), and with its compiled vocabulary or not."""
    import modelkiln
    from modelkiln.cache import VectorCache

    extractor = modelkiln.load(config["artifact"], threads=config["threads"] or None, cache_mb=config["cache_mb"])
    if not config["table"]:
        extractor.word.vocabulary = None

    def forget() -> None:
        if extractor.word.cache is not None:
            extractor.word.cache = VectorCache(extractor.word.dimension, config["cache_mb"])

    return lambda docs, ngrams: extractor.extract_keywords(docs, keyphrase_ngram_range=ngrams), forget


def load_sentence_transformers(config: dict[str, Any]) -> tuple[Extract, Forget]:
    """KeyBERT over sentence-transformers, with any of its backends."""
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer, __version__

    threads = config["threads"]
    settings: dict[str, Any] = {}
    if config["backend"] == "torch":
        import torch

        if threads:
            torch.set_num_threads(threads)
    elif config["backend"] == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        settings = {"file_name": config["file"], "provider": "CPUExecutionProvider", "session_options": options}
    else:
        settings = {"ov_config": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}}
    options = {"backend": config["backend"], "local_files_only": True, "model_kwargs": settings}
    if __version__.startswith("2."):  # it knows torch alone
        options = {}
    model = SentenceTransformer(config["source"], device="cpu", **options)
    model.max_seq_length = config["max_length"]
    return _keybert(KeyBERT(model))


def load_transformers(config: dict[str, Any]) -> tuple[Extract, Forget]:
    """KeyBERT over a transformers pipeline, as its documentation says; but cut where the others cut."""
    import torch
    from keybert import KeyBERT
    from transformers import AutoModel, AutoTokenizer, pipeline

    torch.set_num_threads(config["threads"])
    tokenizer = AutoTokenizer.from_pretrained(config["source"], model_max_length=config["max_length"])
    model = AutoModel.from_pretrained(config["source"])
    return _keybert(KeyBERT(pipeline("feature-extraction", model=model, tokenizer=tokenizer, device="cpu")))


def load_replaced(config: dict[str, Any]) -> tuple[Extract, Forget]:
    """The system that modelkiln replaces: a traced graph of one text of a fixed length, to which every text is padded.

    One text at a time through a feature-extraction pipeline; the mean of the token vectors; KeyBERT around it.
    """
    import numpy as np
    import torch
    from keybert import KeyBERT
    from keybert.backend import BaseEmbedder
    from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, pipeline

    torch.set_num_threads(config["threads"])
    tokenizer = AutoTokenizer.from_pretrained(config["source"])
    model = AutoModel.from_pretrained(config["source"]).eval()
    shell = AutoConfig.from_pretrained(config["source"], attn_implementation="eager")  # of a model without layers
    longest = min(DOCUMENT_LENGTH, model.config.max_position_embeddings)

    class Hidden(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    class Traced(PreTrainedModel):  # type: ignore[misc] # a pipeline takes nothing else
        def __init__(self, graph: Any) -> None:
            super().__init__(shell)
            self.graph = graph

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:  # noqa: ARG002
            return (self.graph(input_ids, attention_mask),)

    def trace(length: int) -> Any:
        ids = torch.ones(1, length, dtype=torch.int64)
        mask = ids.clone()
        mask[:, length // 2 :] = 0  # of a text that fills its length up, the tracer would keep no mask
        with torch.no_grad():
            graph: Any = torch.jit.trace(Hidden().eval(), (ids, mask))  # type: ignore[no-untyped-call]
        return pipeline("feature-extraction", model=Traced(graph).eval(), tokenizer=tokenizer, device="cpu")

    pipelines = {length: trace(length) for length in (min(WORD_LENGTH, longest), longest)}
    shorter, longer = min(pipelines), max(pipelines)

    class Embedder(BaseEmbedder):  # type: ignore[misc]
        def embed(self, documents: Any, verbose: bool = False) -> Any:  # noqa: ARG002 (KeyBERT's)
            length = longer if isinstance(documents, list) else shorter  # KeyBERT passes the phrases as an array
            padded = {"padding": "max_length", "max_length": length, "truncation": True}
            vectors = []
            for text in documents:
                tokens = np.array(pipelines[length](str(text), tokenize_kwargs=padded))[0]
                mask = np.array(tokenizer(str(text), **padded)["attention_mask"])[:, None]
                vectors.append((tokens * mask).sum(axis=0) / mask.sum())
            return np.stack(vectors)

    return _keybert(KeyBERT(Embedder()))


# What each kind loads, and the libraries whose versions matter.
KINDS: dict[str, tuple[Callable[[dict[str, Any]], tuple[Extract, Forget]], list[str]]] = {
    "modelkiln": (
        load_modelkiln,
        ["modelkiln", "onnxruntime", "openvino", "torch", "torch-neuron", "torch-neuronx", "numpy", "tokenizers"],
    ),
    "sentence-transformers": (
        load_sentence_transformers,
        ["keybert", "sentence-transformers", "transformers", "torch", "onnxruntime", "openvino", "optimum"],
    ),
    "transformers": (load_transformers, ["keybert", "transformers", "torch"]),
    "replaced": (load_replaced, ["keybert", "transformers", "torch"]),
}


def _keybert(model: Any) -> tuple[Extract, Forget]:
    def forget() -> None:
        """KeyBERT remembers nothing."""

    return lambda docs, ngrams: model.extract_keywords(docs, keyphrase_ngram_range=ngrams), forget


def _extract(extract: Extract, request: dict[str, Any]) -> dict[str, Any]:
    texts, ngrams = request["texts"], tuple(request["ngrams"])
    seconds: list[float] = []
    answers: list[Any] = []
    for docs in [texts] if request["together"] else texts:
        started = time.perf_counter()
        found = extract(docs, ngrams)
        seconds.append(time.perf_counter() - started)
        # KeyBERT gives a flat list where there is one document, and an empty one where none has a candidate.
        many = request["together"] and not (found and isinstance(found[0], tuple))
        answers += (found or [[] for _ in texts]) if many else [found]
    return {"seconds": seconds, "keywords": answers}


def _reset_peak() -> bool:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # not Linux: the peak is that of the whole life
        return False
    return True


def peak_mb() -> float:
    """The largest resident memory of this process so far."""
    try:
        with open(STATUS) as file:
            (line,) = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1e3 * 1.024
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def _versions(libraries: list[str]) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for library in libraries:
        if library.split("-")[0] in sys.modules or library.replace("-", "_") in sys.modules:
            with suppress(metadata.PackageNotFoundError):  # another interpreter's modelkiln is only on its path
                found[library] = metadata.version(library)
    return found


if __name__ == "__main__":
    main()
