"""Everything that an artifact holds, and the check that compares it: a table of docs/gate.md."""

from __future__ import annotations

# What it is, as the manifest or the folder has it; what it is compared with; the checks, without their parameters.
ASKED = "what params.yaml and toolchain.yaml ask for"
SEALED = "the bytes that were sealed"
UNCOMPILED = "the uncompiled model"
GRAPH = "`graphs/…`: "
HOLDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("`format`, `digest`, `files`", SEALED, ("artifact: every byte is as sealed", "artifact: every file has a role")),
    ("`task`, `backend`, `precision`, `options`", ASKED, ("artifact: is what was asked for",)),
    ("`machine`, `toolchain`", ASKED, ("artifact: is what was asked for",)),
    (
        "`encoders`: `max_length`, `max_batch`, `vocabulary`",
        f"{ASKED}; {UNCOMPILED}, from 1 token to twice the longest text",
        ("artifact: is what was asked for", "vectors: every length"),
    ),
    (
        "`encoders`: `graph`, `layout`",
        f"{UNCOMPILED}, by running it",
        ("vectors: real texts", "serving: loads nothing but what the manifest lists"),
    ),
    ("`dimension`, `pad_id`", UNCOMPILED, ("artifact: says what the source is",)),
    ("`source`", "the source's revision and files", ("artifact: was compiled from this source",)),
    (
        "`manifest.json`, `tokenizer.json`, `sbom.json`, `task/…`, `vocabulary/…`: their form, and their names",
        "the one form in which compile writes them",
        ("artifact: texts are as compile writes them",),
    ),
    (
        f"{GRAPH}every byte, but of AWS Neuron's",
        "the source, compiled again",
        ("artifact: graphs are what compile makes",),
    ),
    (f"{GRAPH}each row of the embedding matrix", f"{UNCOMPILED}, token by token", ("vectors: every token",)),
    (f"{GRAPH}each position", f"{UNCOMPILED}, at each length", ("vectors: every length",)),
    (
        f"{GRAPH}layers, pooling, normalisation",
        UNCOMPILED,
        ("vectors: real texts", "vectors: words", "neighbours: ten nearest documents", "neighbours: ten nearest words"),
    ),
    (
        f"{GRAPH}what it does with padding, neighbours, order, numbers of texts, threads",
        "itself, and the uncompiled model in calls of every number of texts",
        (
            "invariance: company and order",
            "invariance: number of texts in a call",
            "invariance: two threads",
            "vectors: every token",
            "calls: drawn for this artifact",
        ),
    ),
    (f"{GRAPH}special tokens inside a text", UNCOMPILED, ("hostile: special tokens",)),
    (f"{GRAPH}texts that nobody would write", UNCOMPILED, ("hostile: vectors", "hostile: answers")),
    (
        f"{GRAPH}whatever else is in the files",
        "the graph's own parts, and the size of the weights",
        ("artifact: graphs hold nothing else",),
    ),
    (
        f"{GRAPH}the original weights, which are not to be there",
        "the source's files",
        ("artifact: carries no original weights",),
    ),
    (
        "`tokenizer.json`, each part of it",
        "the source's, as its own library has loaded it",
        ("tokenizer: says what the sources says",),
    ),
    (
        "`tokenizer.json`, the ids that it gives",
        "those that the uncompiled model is given",
        (
            "tokenizer: every token",
            "tokenizer: every character",
            "tokenizer: long words",
            "tokenizer: special tokens",
            "tokenizer: mixed texts",
        ),
    ),
    (
        "`vocabulary/words.json`, `vocabulary/vectors.npy`",
        f"{UNCOMPILED}, every row; the words of the tokenizer and those that were asked for",
        ("vectors: compiled vocabulary",),
    ),
    (
        "`task/…`, each file",
        "what the reference library has, whole",
        ("resources: every file is what the reference library has",),
    ),
    ("`sbom.json`", "what the interpreter that judges has installed", ("artifact: lists what serving needs",)),
    (
        "all of it together: the answers",
        "KeyBERT over the uncompiled model, gold key phrases, registered predictions",
        ("keywords: golden samples", "keywords: corpus", "quality: gold key phrases", "registered: predictions"),
    ),
    (
        "all of it together: as it will be served",
        "the same in another folder and process, with and without caches",
        (
            "serving: moved copy gives the same vectors in a new process",
            "serving: moved copy gives the same answers",
            "invariance: answers alone together and again",
            "invariance: caches confuse no texts",
        ),
    ),
    (
        "what it is held against",
        "its own noise, and the sha256s that the download was pinned to",
        ("noise: bounds are above the uncompiled models own noise", "artifact: source is as it was fetched"),
    ),
)


def table() -> list[str]:
    """The lines of the table, in Markdown."""
    lines = ["| what an artifact holds | is compared with | by |", "|---|---|---|"]
    for what, compared, checks in HOLDS:
        lines.append(f"| {what} | {compared} | {'; '.join(checks)} |")
    return lines
