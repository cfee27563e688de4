"""Makes up a reports folder, an artifact's manifest and a source: plausible figures, and the same for the same seed.

python tests/report/folders.py FOLDER [refused]     (for a look at the page)
"""

from __future__ import annotations

import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelkiln.artifact import EncoderSpec, File, Manifest, content_digest
from modelkiln.bounds import STRICT
from modelkiln.files import to_json, write_text
from modelkiln.golden import read_samples
from modelkiln.report import write_report
from modelkiln.verdict import NOT_APPLICABLE, Check, Figure, Verdict

Folders = tuple[Path, Path, Path]  # reports, artifact, source

MODES: list[dict[str, Any]] = [
    {"top_n": 5},
    {"keyphrase_ngram_range": [1, 2], "top_n": 10},
    {"keyphrase_ngram_range": [1, 2], "use_mmr": True, "diversity": 0.7},
    {"keyphrase_ngram_range": [1, 1], "stop_words": None, "use_maxsum": True, "nr_candidates": 12},
]
SOURCE = {"id": "tiny", "model": "all-MiniLM-L6-v2", "revision": "0.1.0", "source": "package", "variant": "base"}


def build(root: Path, documents: int = 30, off: float = 0.0, seed: int = 0) -> Folders:
    """Writes the folder of reports, the artifact and the source below `root`, and returns them.

    Args:
        root: Any folder.
        documents: How many were judged.
        off: How far the compiled model's scores are off; from 0.01 on some keywords are others. 0: it passes.
        seed: Of what is made up.
    """
    chance = random.Random(seed)
    folder, artifact, source = root / "validation", root / "compiled", root / "source"
    digest = write_artifact(artifact, source)
    evidence = make_evidence(chance, documents, off)
    verdict = make_verdict(digest, evidence, off)
    write_text(folder / "verdict.json", to_json(asdict(verdict)))
    for name, rows in evidence.items():
        write_text(folder / "evidence" / f"{name}.json", to_json(rows))
    write_text(folder / "metrics.json", to_json({"passed": int(verdict.passed), "checks": len(verdict.checks)}))
    write_text(folder / "predictions.json", to_json(predictions(evidence)))
    write_text(folder / "latency.json", to_json(make_latency(chance) if verdict.passed else {}))
    return folder, artifact, source


ENCODER = EncoderSpec("graphs/encoder.onnx", "packed", 512, 256)


def write_artifact(artifact: Path, source: Path) -> str:
    """A sound manifest without its files, and a revision; returns the artifact's digest."""
    digests = {name: f"{number:x}" * 64 for number, name in enumerate(["config.json", "model.safetensors"], 10)}
    manifest: dict[str, Any] = {
        "format": 3,
        "task": "keywords",
        "backend": "onnxruntime",
        "precision": "fp32",
        "options": {"opset": 17},
        "encoders": {"document": asdict(ENCODER), "word": asdict(ENCODER)},
        "dimension": 384,
        "pad_id": 0,
        "source": SOURCE,
        "toolchain": {"python": "3.11", "torch": "2.13.0", "onnxruntime": "1.30.0", "onnx": "1.23.2"},
        "machine": None,
        "files": {"graphs/encoder.onnx": {"size": 90312148, "sha256": "87b7" * 16}},
    }
    files = {"graphs/encoder.onnx": File(90312148, "87b7" * 16)}
    encoders = {"document": ENCODER, "word": ENCODER}
    sealed = Manifest(**{**manifest, "files": files, "encoders": encoders})  # type: ignore[arg-type]
    manifest["digest"] = content_digest(sealed)
    write_text(artifact / "manifest.json", to_json(manifest))
    write_text(source / "revision.json", to_json({**SOURCE, "files": digests}))
    return str(manifest["digest"])


def make_evidence(chance: random.Random, documents: int, off: float) -> dict[str, list[Any]]:
    """Rows as the checks write them."""
    texts = [sample.text for sample in read_samples()]
    rows: dict[str, list[Any]] = {"documents": [], "lengths": [], "scores": [], "worst": [], "quality": []}
    answers = []
    for index in range(documents):
        text = texts[index % len(texts)]
        for mode in range(len(MODES)):
            answers.append(_answer(chance, f"golden-{index + 1}", text, mode, off, rows["scores"]))
    figures = ("id", "set", "mode", "agreement", "overlap", "rbo", "score_difference")
    rows["documents"] = [{name: answer[name] for name in figures} for answer in answers]
    worst = sorted(answers, key=lambda row: (row["rbo"], row["overlap"], -row["score_difference"]))
    rows["worst"] = list({row["id"]: row for row in reversed(worst)}.values())[:-11:-1]
    for encoder in ("document", "word"):
        for tokens in [*range(3, 129), *range(129, 257, 3), 257, 512]:
            loss = abs(chance.gauss(0, 1)) * (off / 8 if off else 6e-8) * (1 + tokens / 200)
            rows["lengths"].append(
                {"encoder": encoder, "tokens": tokens, "cosine": round(1 - loss, 9), "difference": loss / 3}
            )
    if documents > 30:
        rows["quality"] = [_quality(n, off) for n in (5, 10, 15)]
    return rows


def make_verdict(digest: str, evidence: dict[str, list[Any]], off: float) -> Verdict:
    """A verdict on that evidence under the strict bounds; one that does not apply, and with `off` several failures."""
    worst = max((abs(row["difference"]) for row in evidence["scores"]), default=0.0)
    cosine = min((row["cosine"] for row in evidence["lengths"]), default=1.0)
    checks = [
        _check("artifact: carries no original weights"),
        _check("artifact: every byte is as sealed", files=(5, 2, "at least")),
        _check("artifact: was compiled from this source"),
        _check("serving: in a fresh process, moved", max_abs_difference=(0.0, STRICT.invariance_atol, "at most")),
        _check("noise: threads and runs", noise=(2.38e-7, STRICT.atol, "at most")),
        _check("invariance: any order[document]", max_abs_difference=(1.19e-7, STRICT.invariance_atol, "at most")),
        _check("invariance: two threads[document]", max_abs_difference=(0.0, STRICT.invariance_atol, "at most")),
        _check("neighbours: ten nearest[document]", neighbours=(1 - off * 3, 1.0, "at least")),
        _check("hostile: lone surrogates and 1 MB of one character", max_abs_difference=(9.9e-8, 1e-4, "at most")),
    ]
    for encoder in ("document", "word"):
        for name in ("every length", "edges of the envelope"):
            figures = {
                "min_cosine": (float(f"{cosine:.6g}"), STRICT.min_cosine, "at least"),
                "max_abs_difference": (float(f"{off / 4 or 9.87e-8:.3g}"), STRICT.atol, "at most"),
                "max_relative_difference": (float(f"{off or 3.1e-6:.3g}"), STRICT.rtol, "at most"),
            }
            checks.append(_check(f"vectors: {name}[{encoder}]", **figures))
    for mode in range(len(MODES)):
        rows = [row for row in evidence["documents"] if row["mode"] == mode]
        mean = {name: sum(row[name] for row in rows) / max(1, len(rows)) for name in ("agreement", "overlap", "rbo")}
        least = {name: (float(f"{value:.3g}"), 1.0, "at least") for name, value in mean.items()} if rows else {}
        score = {"max_score_difference": (float(f"{worst:.3g}"), STRICT.score_atol, "at most")}
        checks.append(_check(f"keywords: golden samples[{mode}]", **least, **score))
    gold = "the corpus has no gold key phrases: give validate.corpus a file whose lines have `keywords`"
    quality = Check("quality: f1 on gold key phrases", NOT_APPLICABLE, reason=gold)
    if evidence["quality"]:
        quality = _check("quality: f1 on gold key phrases", f1_loss=(evidence["quality"][1]["high"], 0.01, "at most"))
    if off:
        crash = "RuntimeError: [ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned"
        checks.append(Check("invariance: a much longer neighbour[word]", "error", reason=crash))
    checks = sorted([*checks, quality], key=lambda check: check.name)
    verdict = Verdict(False, digest, SOURCE, asdict(STRICT), "c0ffee" * 10 + "c0ff", checks=checks)
    return Verdict(**{**vars(verdict), "passed": verdict.is_borne_out()})


def predictions(evidence: dict[str, list[Any]]) -> dict[str, Any]:
    """What is kept with the model."""
    kept = [row for row in evidence["worst"] if row["mode"] == 0] or evidence["worst"][:1]
    answers = {"expected": [[row["expected"] for row in kept]], "predictions": [[row["actual"] for row in kept]]}
    return {"inputs": [row["text"] for row in kept], "inference_params": MODES, **answers}


def make_latency(chance: random.Random) -> dict[str, Any]:
    """A profile in which the compiled model is 2.4 times as fast, and no smaller in memory than can be told."""
    samples = {
        model: [round(scale * chance.lognormvariate(0, 0.13), 3) for _ in range(240)]
        for model, scale in (("uncompiled", 61.0), ("compiled", 25.4))
    }
    models: dict[str, Any] = {}
    for model, values in samples.items():
        ordered = sorted(values)
        p50, p95, p99 = (ordered[int(share * len(ordered))] for share in (0.5, 0.95, 0.99))
        rates = {size: round(1000 / p50 * gain, 2) for size, gain in (("1", 1), ("8", 1.6), ("30", 1.9))}
        models[model] = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "docs_per_s": rates}
    models["compiled"] |= {"load_s": 0.412, "first_answer_s": 0.447, "peak_mb": 412.6, "size_mb": 126.1}
    models["uncompiled"] |= {"load_s": 3.918, "first_answer_s": 4.107, "peak_mb": 431.0, "size_mb": 91.6}
    ratios = {
        name: {"ratio": ratio, "low": ratio * 0.95, "high": ratio * 1.06, "distinguishable": True}
        for name, ratio in (("load_s", 9.51), ("first_answer_s", 9.19), ("p50_ms", 2.41), ("p95_ms", 2.33))
    }
    ratios |= {f"docs_per_s_{size}": {**ratios["p50_ms"], "ratio": 2.4} for size in ("1", "8", "30")}
    ratios["peak_mb"] = {"ratio": 1.04, "low": 0.97, "high": 1.11, "distinguishable": False}
    ratios["size_mb"] = {"ratio": 0.73, "low": 0.73, "high": 0.73, "distinguishable": True}
    return {"documents": 30, "rounds": 8, "stable": True, **models, "ratios": ratios, "samples_ms": samples}


def _check(name: str, **figures: tuple[float, float, str]) -> Check:
    made = {key: Figure(*figure) for key, figure in figures.items()}
    broken = [
        f"{key} is {figure.value:.4g}, has to be {figure.side} {figure.bound:g}"
        for key, figure in made.items()
        if figure.value is not None and not figure.holds()
    ]
    return Check(name, "failed" if broken else "passed", made, "; ".join(broken))


def _answer(chance: random.Random, name: str, text: str, mode: int, off: float, scores: list[Any]) -> dict[str, Any]:
    words = sorted({word.strip(".,;:()'\"").lower() for word in text.split() if len(word) > 4})
    chance.shuffle(words)
    top = 10 if mode == 1 else 5
    ranked = sorted((round(chance.uniform(0.2, 0.6), 4) for _ in words[: top + 4]), reverse=True)
    noisy = [(word, score, round(score + _noise(chance, off), 4)) for word, score in zip(words, ranked, strict=False)]
    wanted = [[word, score] for word, score, _ in noisy[:top]]
    found = [[word, score] for word, _, score in sorted(noisy, key=lambda row: -row[2] if off else -row[1])[:top]]
    both = {word for word, _ in wanted} & {word for word, _ in found}
    differences = [round(after - before, 4) for word, before, after in noisy if word in both]
    scores += [{"mode": mode, "difference": difference} for difference in differences]
    same = [word for word, _ in wanted] == [word for word, _ in found]
    overlap = round(len(both) / len(wanted), 4) if wanted else 1.0
    return {
        "id": name,
        "set": "golden",
        "mode": mode,
        "text": text[:600],
        "expected": wanted,
        "actual": found,
        "agreement": int(same),
        "overlap": overlap,
        "rbo": 1.0 if same else round(overlap * 0.97, 4),
        "score_difference": max(map(abs, differences), default=0.0),
    }


def _noise(chance: random.Random, off: float) -> float:
    return chance.gauss(0, off) if off else chance.choice([0.0] * 60 + [1e-4, -1e-4])


def _quality(n: int, off: float) -> dict[str, Any]:
    before = {"precision": round(0.412 - n / 60, 4), "recall": round(0.11 + n / 45, 4), "f1": round(0.2 + n / 120, 4)}
    after = {name: round(value - off / 3, 4) for name, value in before.items()}
    loss = round(before["f1"] - after["f1"], 4)
    low, high = round(loss - 0.0031, 4), round(loss + 0.0034, 4)
    return {"n": n, "uncompiled": before, "compiled": after, "f1_loss": loss, "low": low, "high": high}


if __name__ == "__main__":
    made = build(Path(sys.argv[1]), *((500, 0.02) if "refused" in sys.argv else (30, 0.0)))
    write_report(*made)
