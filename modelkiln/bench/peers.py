"""The peers that there are, by their short names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelkiln.artifact import read_manifest
from modelkiln.bench.process import Peer
from modelkiln.errors import ModelkilnError

BASE = "keybert"
CACHE_MB = 64
NAMES = {
    BASE: "KeyBERT, sentence-transformers torch",
    "modelkiln": "modelkiln",
    "no-table": "modelkiln, no table",
    "warm": "modelkiln, warm",
    "onnx": "KeyBERT, sentence-transformers ONNX",
    "openvino": "KeyBERT, sentence-transformers OpenVINO",
    "pipeline": "KeyBERT, transformers pipeline",
    "replaced": "the replaced system",
}
OURS = ("modelkiln", "no-table", "warm")  # they need the artifact alone
ELSEWHERE = ("onnx", "openvino")  # they run in an environment of their own
SLOW = ("pipeline", "replaced")


@dataclass(frozen=True)
class Exported:
    """The source, as sentence-transformers exports it (benchmarks/environments.py), and what can run it."""

    folder: Path
    python: str


@dataclass(frozen=True)
class Places:
    """Where the peers find what they load."""

    artifact: Path
    source: Path
    exported: Exported | None = None


@dataclass(frozen=True)
class Limits:
    """How much of the work a slow peer does: the figures compare it on what it did."""

    documents: int | None = None
    rounds: int | None = None


def choose(wanted: Sequence[tuple[str, int]], places: Places, slow: Limits) -> list[Peer]:
    """The peers of these names and threads, the one that the others are compared with first, where it is wanted."""
    names = list(dict.fromkeys(name for name, _ in wanted))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ModelkilnError(f"no such peer: {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    if BASE in names and not all((BASE, threads) in wanted for _, threads in wanted):
        raise ModelkilnError(f"the peers are compared with {BASE!r}, so it has to be among them with all their threads")
    if not set(names) <= set(OURS) and not (places.source / "modules.json").exists():
        raise ModelkilnError(
            f"{places.source}: no uncompiled model of sentence-transformers here (modules.json), which the artifact is "
            "to be compared with; name its folder with --source, make it with `dvc repro download`, or measure the "
            "artifact alone with --peers modelkiln"
        )
    needs_export = [name for name in names if name in ELSEWHERE]
    if needs_export and not places.exported:
        raise ModelkilnError(
            f"{', '.join(needs_export)}: needs an environment of its own; `make bench` makes it and measures these too"
        )
    ordered = sorted(wanted, key=lambda each: each[0] != BASE)
    return [_peer(name, places, threads, slow if name in SLOW else Limits()) for name, threads in ordered]


def _peer(name: str, places: Places, threads: int, limits: Limits) -> Peer:
    source = str(places.source.resolve())
    common = {"threads": threads, "max_length": read_manifest(places.artifact).encoders["document"].max_length}
    if name in OURS:
        config = {
            "kind": "modelkiln",
            "artifact": str(places.artifact.resolve()),
            "table": name != "no-table",
            "cache_mb": CACHE_MB if name == "warm" else 0,
        }
        files = tuple(path for path in places.artifact.iterdir() if name != "no-table" or path.name != "vocabulary")
        return Peer(NAMES[name], {**common, **config}, files, warm=name == "warm")
    weights = tuple(places.source.glob("*.safetensors")) + tuple(places.source.glob("tokenizer.json"))
    if name in ELSEWHERE and places.exported:
        folder = places.exported.folder
        file = {"onnx": "onnx/model.onnx", "openvino": "openvino"}[name]
        config = {
            "kind": "sentence-transformers",
            "backend": "openvino" if name == "openvino" else "onnx",
            "file": file,
            "source": str(folder.resolve()),
        }
        return Peer(
            NAMES[name], {**common, **config}, (folder / file, folder / "tokenizer.json"), places.exported.python
        )
    kind = {BASE: "sentence-transformers", "pipeline": "transformers", "replaced": "replaced"}[name]
    config = {"kind": kind, "backend": "torch", "source": source}
    return Peer(NAMES[name], {**common, **config}, weights, documents=limits.documents, rounds=limits.rounds)
