"""docs/benchmarks.json -> docs/benchmarks.md. Nothing in the page is written by hand but the text in this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.targets import targets
from modelkiln.bench.figures import Figure, ratio, select
from modelkiln.bench.measure import Record, Scenario
from modelkiln.bench.peers import BASE, NAMES
from modelkiln.bench.table import markdown, speed_table, start_table
from modelkiln.files import write_text

PREFACE = """\
<!-- Written by `python -m benchmarks.report`; edit benchmarks/page.py, and run it with `--only page`. -->
# Benchmarks

Keyword extraction with the compiled artifact, against KeyBERT over the uncompiled model: fp32, the same texts, the same
keywords, in one run. Every peer is a process of its own; they are asked in turns, one request at a time (A B A B), and
the others idle. A figure is the median over the rounds, a ratio the median of the rounds' own ratios, on the documents
that both peers did and with the same threads. Quote the ratios: absolute times are one machine's at one moment.

- **modelkiln** is cold: it remembers nothing between calls. The compiled vocabulary counts as cold, since it ships with
  the artifact; *no table* is without it. *Warm* is with the running cache, measured on the second half of a stream
  after the first half, and stands apart.
- Candidates that documents of one call share are encoded once, by KeyBERT too.
- **The replaced system** is re-stated: a graph traced for one text of a fixed length (25 tokens for a word, 512 for a
  document), every text padded to it, one text at a time through a transformers pipeline, KeyBERT around it. It cuts
  documents at 512 tokens, so its keywords may differ.
- *Same keywords* is the share of documents with the keywords of KeyBERT over sentence-transformers torch, in order,
  with scores within 1e-4.
- *semeval2017.jsonl*, where a figure names it, has 493 paragraphs of scientific papers in English (SemEval 2017,
  task 10). They are public, and no part of this project.
"""

# Of a backend: how each figure is written.
BACKENDS = {
    "compile_s": "{:.0f}",
    "files_mb": "{:.0f}",
    "first_s": "{:.2f}",
    "peak_mb": "{:.0f}",
    "ratio": "{:.2f}",
    "agreement": "{:.0%}",
}


def write_page(path: Path, data: dict[str, Any]) -> None:
    """Writes the page, of the parts that were measured."""
    parts = [PREFACE, _targets(data)]
    sections = {
        "peers": _peers,
        "ceiling": _ceiling,
        "peak": _peak,
        "backends": _backends,
        "table": _table,
        "stream": _stream,
        "registries": _registries,
        "transfers": _transfers,
        "sweeps": _sweeps,
    }
    for name, section in sections.items():
        if name in data:
            parts.append(section(data[name]))
    write_text(path, "\n".join(parts))


def _targets(data: dict[str, Any]) -> str:
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [[what, bound, value, words[reached]] for what, bound, value, reached in targets(data)]
    table = markdown(["one thread unless said, texts not met before unless said", "target", "reached", ""], rows)
    return f"## What was to be reached\n\n{table}\n"


def _peers(part: dict[str, Any]) -> str:
    figures = [Figure(**{**each, "ngrams": tuple(each["ngrams"])}) for each in part["figures"]]
    base = NAMES[BASE]
    lines = [
        f"## Speed\n\n{_facts(part)} Every peer cuts a text at {part['max_length']} tokens, but for the replaced "
        f"system. The file has {part['documents']} documents, of which the last ones are measured; those before them "
        "warm the warm peer up.\n\n![Times as fast as KeyBERT, one thread](benchmarks.svg)\n"
    ]
    for key in dict.fromkeys((f.ngrams, f.in_a_call) for f in figures):
        (least, most), in_a_call = key
        chosen = sorted((f for f in figures if (f.ngrams, f.in_a_call) == key), key=lambda f: f.threads)
        warm = _warm(part, Scenario((least, most), in_a_call))
        lines.append(f"### ({least},{most}), {in_a_call} in a call\n\n{speed_table(chosen, base)}\n{warm}")
    starts = {(each["peer"], each["threads"]): each for each in part["starts"]}
    lines.append(
        "### Start\n\nFrom the start of the process to its first keywords, the files in the page cache; medians of "
        f"{max(len(each['first_s']) for each in starts.values())} starts in turns. The replaced system traces its "
        f"graphs while it starts.\n\n{start_table(starts, base)}\n"
    )
    lines += [f"Not measured: {peer}: {reason}\n" for peer, reason in part["failed"].items()]
    return "\n".join(lines)


def _warm(part: dict[str, Any], scenario: Scenario) -> str:
    """What being warm is worth, on the documents on which both were measured."""
    records = [Record(**{**each, "ngrams": tuple(each["ngrams"])}) for each in part["records"]]
    own, cold = (select(records, NAMES[name], 1, scenario) for name in ("warm", "modelkiln"))
    times = ratio(own, cold)
    return "" if times is None else f"\nOn the same documents warm is {times:.2f} times as fast as cold.\n"


def _ceiling(part: dict[str, Any]) -> str:
    base = NAMES[BASE]
    rows = []
    for row in part["rows"]:
        least, most = row["ngrams"]
        counts = [f"{row[name]:.0f}" for name in ("document_tokens", "phrases", "missing", "missing_tokens")]
        rows.append([f"({least},{most})", *counts, f"{row['ratio']:.2f}"])
    head = ["n-grams", "tokens", "phrases", "not in the table", "their tokens", f"every phrase known: times {base}"]
    return (
        f"## What there is left to gain\n\n{_facts(part)} Means over {part['documents']} documents, one at a time, one "
        f"thread, {part['rounds']} rounds. What has to be encoded for a document is its own tokens and those of the "
        "phrases that the table lacks. The last column is where no table and no cache leads beyond: every phrase was "
        "met before, and only the documents are encoded, by an encoder that runs at the share of the machine's peak "
        f"that the next section gives.\n\n{markdown(head, rows)}\n"
    )


def _peak(part: dict[str, Any]) -> str:
    rows = [
        [f"{a} x {b} x {c}", *(f"{each['gflops']:.1f}" for each in part["products"] if each["shape"] == [a, b, c])]
        for a, b, c in dict.fromkeys(tuple(each["shape"]) for each in part["products"])
    ]
    libraries = list(dict.fromkeys(each["library"] for each in part["products"]))
    flop = part["mflop_per_token"]
    shares = sorted(part["profile"].items(), key=lambda each: -each[1])
    profile = [[kind, f"{100 * share:.1f}%"] for kind, share in shares if share >= 0.002]
    return (
        f"## The encoder and the machine's matrix products\n\n{_facts(part)} {part['documents']} documents "
        f"of {part['tokens']} tokens in a call, {part['threads']} thread, {part['rounds']} rounds, all in turns.\n\n"
        f"The encoder does {part['tokens_per_s']:.0f} tokens/s, tokenizing included. A token costs "
        f"{flop['linear']:.2f} MFLOP in the linear layers and {flop['attention']:.2f} in the attention's products: "
        f"{100 * part['share_with_attention']:.0f}% of the fastest product's {part['peak_gflops']:.1f} GFLOP/s, "
        f"{100 * part['share_linear']:.0f}% with the linear layers alone.\n\n"
        f"{markdown(['fp32 product, GFLOP/s', *libraries], rows)}\n\n"
        "Where the time of the graph goes (ONNX Runtime's own profile; Gemm is the linear layers, MatMul the "
        f"attention's products):\n\n{markdown(['node', 'share of the time'], profile)}\n"
    )


def _backends(part: dict[str, Any]) -> str:
    rows = [
        [name, *("" if row.get(key) is None else form.format(row[key]) for key, form in BACKENDS.items())]
        for name, row in part["backends"].items()
    ]
    head = ["backend", "compile s", "files MB", "first keyword s", "peak MB", f"times {NAMES[BASE]}", "same keywords"]
    failed = "".join(f"\nNot measured: {name}: {reason}\n" for name, reason in part["failed"].items())
    return (
        f"## Backends\n\n{_facts(part)} All without a table and without a cache; (1,1), one document at a time, one "
        f"thread, {part['documents']} documents, {part['rounds']} rounds.\n\n{markdown(head, rows)}\n{failed}"
    )


def _table(part: dict[str, Any]) -> str:
    with_s, without_s = part["with_s"], part["without_s"]
    return (
        f"## The compiled vocabulary\n\n{_facts(part)} The compile stage takes {with_s:.0f} s with the table and "
        f"{without_s:.0f} s without: {with_s - without_s:.0f} s for the table.\n"
    )


def _stream(part: dict[str, Any]) -> str:
    rows = []
    before = {"documents": 0, "seconds": 0.0}
    for each in part["samples"]:
        cost = 1000 * (each["seconds"] - before["seconds"]) / (each["documents"] - before["documents"])
        rows.append([each["documents"], f"{each['seconds']:.0f}", f"{cost:.2f}", f"{each['rss_mb']:.0f}"])
        before = each
    head = ["documents", "seconds", "ms a document, since the line above", "memory MB"]
    return (
        f"## Many documents from a file\n\n{_facts(part)} `modelkiln extract` on {part['documents']:,} different "
        f"documents of {part['words']} words, (1,1), one thread.\n\n{markdown(head, rows)}\n"
    )


def _registries(part: dict[str, Any]) -> str:
    rows = {(row["place"], row["step"]): row for row in part["rows"]}
    (copy,) = [row for row in part["rows"] if row["step"] == "copy"]
    places = list(dict.fromkeys(place for place, step in rows if step != "copy"))

    def cost(place: str, step: str) -> str:
        row = rows[place, step]
        times = "" if step == "again" else f" ({row['times_copy']:.0f})"
        return f"{row['seconds']:.2f} s{times}"

    lines = [
        [
            place,
            *(cost(place, step) for step in ("upload", "client upload", "again", "download", "client download")),
            f"{rows[place, 'again']['start_s']:.1f} s",
            *(f"{rows[place, step]['peak_mb']:.0f}" for step in ("again", "upload", "download")),
        ]
        for place in places
    ]
    head = ["", "upload", "client's own", "the same again", "download", "client's own", "start"]
    head += ["MB: nothing done", "MB: upload", "MB: download"]
    return (
        f"## Registries\n\n{_where(part)}. The artifact, {part['files']} files and {part['mb']:.0f} MB, goes into each "
        f"registry and comes back, {part['rounds']} rounds, medians, each transfer a process of its own. In brackets: "
        f"times a plain copy of the same folder, which takes {copy['seconds']:.2f} s and {copy['peak_mb']:.0f} MB, all "
        "in the page cache. *Client's own* is what the registry's client takes for the same files, without a record, "
        "without checking what arrived. *The same again* is an upload of what is there. *Start* is importing the "
        "client and asking a first question, which every process pays once. MB is the peak of the process. The servers "
        "run on the same machine; Neptune's is the one that the tests have, whose speed says nothing of Neptune's own, "
        f"but of the client and of us.\n\n{markdown(head, lines)}\n"
    )


def _transfers(part: dict[str, Any]) -> str:
    lines = [
        [
            row["remote"],
            f"`dvc {row['step'].replace(' again', '`, the same again')}{'' if 'again' in row['step'] else '`'}",
            *(f"{row[name]:.2f}" for name in ("seconds", "copy_seconds", "times_copy")),
        ]
        for row in part["rows"]
    ]
    head = ["remote", "", "seconds", "plain copy, seconds", "times the copy"]
    return (
        f"## Push and pull\n\n{_where(part)}. What `dvc.lock` names of the default project, {part['files']} objects "
        f"and {part['mb']:.0f} MB, {part['rounds']} rounds, medians; all in the page cache. Beside a folder stands a "
        "copy of its files; beside S3, whose server is moto's on the same machine, boto3 in a process of its own, one "
        f"file after the other. DVC's start counts.\n\n{markdown(head, lines)}\n"
    )


def _sweeps(part: dict[str, Any]) -> str:
    noop, grown = part["noop"], part["grown"]
    engines = []
    for name, each in part["engines"].items():
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in each["steps"].items())
        engines.append([name, f"{each['seconds']:.0f}", f"{each['a_cell']:.1f}", each["failed"], steps])
    names = {
        "for_each_ref": "`git for-each-ref`",
        "ls_remote": "`git ls-remote` of the commit's",
        "first_show": "`dvc exp show`, the first time",
        "show_again": "`dvc exp show`, again",
        "attempt": "one cell in its clone",
        "push": "`dvc exp push`",
        "push_run_cache": "`dvc exp push --run-cache`",
    }
    rows = [[shown, *(f"{each['seconds'][name]:.2f}" for each in grown)] for name, shown in names.items()]
    head = ["seconds", *(f"{each['experiments']:,} experiments, {each['runs']:,} runs" for each in grown)]
    return (
        f"## Sweeps\n\n{_where(part)}. A `dvc repro` with nothing to do takes {noop['ours']:.2f} s, and in a pipeline "
        f"of four empty stages {noop['empty']:.2f} s: {noop['ratio']:.2f} times as long, {noop['rounds']} rounds in "
        f"turns.\n\n{part['cells']} cells whose stages do nothing, {part['workers']} at a time, so that all of it is "
        "overhead; Ray's start counts. *A cell* is what one of the workers spends on it.\n\n"
        f"{markdown(['engine', 'seconds in all', 'seconds a cell', 'failed', 'of an attempt: seconds'], engines)}\n\n"
        "What grows with the number of experiments that a commit has, and of runs in the run-cache. With `--run-cache` "
        f"a push copies every run there is to the remote, which is a folder here.\n\n{markdown(head, rows)}\n"
    )


def _facts(part: dict[str, Any]) -> str:
    return f"{_where(part)}; texts: {part['documents_name']}."


def _where(part: dict[str, Any]) -> str:
    machine = part["machine"]
    return (
        f"`{part['command']}`, {part['date']}; {machine['processor']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['instructions']}, Python {machine['python']}"
    )
