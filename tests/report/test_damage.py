"""Hostile texts, and files that are damaged or missing: the page is written all the same, and says so."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.folders import Folders
from report.page import Page, written

from modelkiln.files import to_json, write_text
from modelkiln.report import SAMPLES
from modelkiln.verdict import Check, Figure, Verdict

HOSTILE = "</style></title><script>alert(1)</script>\"'><img src=x onerror=y>{{ 7 * 7 }}\u202egnp.exe\0\ud800\x1b"
SEEN = "⟨U+202E⟩gnp.exe⟨U+0000⟩⟨U+D800⟩⟨U+001B⟩"


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_hostile_text_is_shown_and_not_obeyed(altered: Folders) -> None:
    folder, _, source = altered
    worst = {"mode": 0, "agreement": 0, "overlap": 0.5, "rbo": 0.5, "score_difference": 0.1}
    worst |= {"id": HOSTILE, "set": HOSTILE, "text": HOSTILE, "expected": [[HOSTILE, 0.5]], "actual": []}
    files = {"worst": [worst], "documents": [worst]}
    files["lengths"] = [{"encoder": HOSTILE, "tokens": 3, "cosine": 0.5, "difference": 0.1}]
    for name, rows in files.items():
        (folder / "evidence" / f"{name}.json").write_text(json.dumps(rows))
    change(folder / "predictions.json", inference_params=[{HOSTILE: HOSTILE}])
    change(folder / "latency.json", compiled={"docs_per_s": {HOSTILE: 3.0}}, error=HOSTILE)
    change(source / "revision.json", model=HOSTILE, files={HOSTILE: HOSTILE}, **{HOSTILE: HOSTILE})
    check = asdict(Check(f"vectors: {HOSTILE}", "failed", {HOSTILE: Figure(2.0, 1.0, "at most")}, HOSTILE))
    checks = [check, {**check, "figures": {}, "name": HOSTILE}]
    change(
        folder / "verdict.json", passed=False, checks=checks, error=HOSTILE, artifact=HOSTILE, source={"id": HOSTILE}
    )
    page = written(*altered)
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert len([tag for tag, _ in page.elements if tag == "style"]) == 1
    assert "{{ 7 * 7 }}" in page.text
    assert page.text.count(SEEN) > 10
    assert not re.search("[\0\x1b\u202e]", page.source)


def test_megabytes_of_text_are_cut_short(altered: Folders) -> None:
    folder = altered[0]
    long = "x" * 10**6
    row = {"id": long, "set": "golden", "mode": 0, "agreement": 0, "overlap": 0, "rbo": 0, "score_difference": None}
    write_text(folder / "evidence" / "documents.json", to_json([row]))
    worst = {**row, "text": long, "expected": [[long, 0.5], *[["short", 0.4]] * 1000], "actual": [[long, None]]}
    write_text(folder / "evidence" / "worst.json", to_json([worst]))
    change(folder / "verdict.json", passed=False, error=long, checks=[asdict(Check(long, "error", reason=long))])
    assert len(written(*altered).source) < 200_000


def test_verdict_of_checks_that_never_finished_is_told(tmp_path: Path) -> None:
    reason = "the checks did not finish: exit code -9"
    write_text(tmp_path / "verdict.json", to_json(asdict(Verdict(False, "", error=reason))))
    page = written(tmp_path, tmp_path / "no artifact", tmp_path / "no source")
    assert Page(page.source.split('<ol class="failures">')[1].split("</ol>")[0]).text == reason
    for absent in (
        "Artifact could not be read",
        "No check has been run",
        "no scores were compared",
        "no vectors were compared",
        "no documents were compared",
        "there are no samples",
        "No gold key phrases",
        "Not measured",
        "There are no documents to show",
        "The verdict names no bounds",
        "can't read the source's revision",
        "no artifact here",
    ):
        assert absent in page.text


@pytest.mark.parametrize("contents", [None, "", "{", "[]", '"text"', "\udcff", "[" * 10**5])
@pytest.mark.parametrize("name", ["verdict.json", "latency.json", "predictions.json", "evidence/documents.json"])
def test_damaged_file_is_named(altered: Folders, name: str, contents: str | None) -> None:
    (altered[0] / name).unlink()
    if contents is not None:
        (altered[0] / name).write_text(contents, encoding="utf-8", errors="surrogateescape")
    page = written(*altered)
    if (name, contents) != ("evidence/documents.json", "[]"):
        assert name in page.text
    assert ("✗ Refused" in page.text) is (name == "verdict.json")


CHECK = {"name": "a: b", "outcome": "failed", "figures": {}, "reason": ""}


@pytest.mark.parametrize(
    "values",
    [
        {"bounds": {"atol": "small"}},
        {"artifact": 5},
        {"source": []},
        {"error": None},
        {"checks": [{"name": 5, "outcome": "passed", "figures": {}, "reason": ""}]},
        {"checks": [{"name": "a: b", "outcome": "passed", "figures": {}, "reason": ["x"]}]},
        {"checks": [{"name": "a: b", "outcome": "passed", "reason": "", "figures": {"f": {"value": 1, "bound": 1}}}]},
        {"checks": [{**CHECK, "figures": {"f": {"value": "1", "bound": 1.0, "side": "at most"}}}]},
        {"checks": [{**CHECK, "figures": {"f": {"value": 1.0, "bound": 1.0, "side": "about"}}}]},
        {"checks": [{**CHECK, "figures": {"f": {"value": 1.0, "bound": None, "side": "at most"}}}]},
        {"checks": [{**CHECK, "outcome": "splendid"}]},
    ],
    ids=str,
)
def test_verdict_of_the_wrong_form_is_refused_and_told(altered: Folders, values: dict[str, Any]) -> None:
    change(altered[0] / "verdict.json", **{"passed": False, **values})
    text = written(*altered).text
    assert "✗ Refused" in text
    assert "there is no verdict that could be read: verdict.json: the verdict is damaged" in text


def test_bound_that_is_none_is_not_drawn(altered: Folders) -> None:
    change(altered[0] / "verdict.json", bounds={"score_atol": -1.0, "min_cosine": 2.0})
    assert "bound" not in written(*altered).part('<section id="plots">', "</section>").text


def test_damaged_rows_are_counted(altered: Folders) -> None:
    rows = [{"mode": 0, "difference": 0.0}, {"mode": 0}, {"mode": 0, "difference": "much"}, 5]
    write_text(altered[0] / "evidence" / "scores.json", to_json(rows))
    text = written(*altered).text
    assert "3 of 4 rows are damaged" in text
    assert "1 score of keywords that both models name" in text


def test_altered_manifest_is_told(altered: Folders) -> None:
    change(altered[1] / "manifest.json", backend="openvino")
    assert "the manifest was altered" in written(*altered).text


def test_artifact_that_is_not_the_one_judged_is_told(altered: Folders) -> None:
    change(altered[0] / "verdict.json", artifact="0" * 64)
    assert "another one than the one judged" in written(*altered).text


def test_error_of_the_profile_is_told(altered: Folders) -> None:
    write_text(altered[0] / "latency.json", to_json({"error": "exit code 3"}))
    assert "The speed could not be measured: exit code 3" in written(*altered).text


EXTREMES = (0.0, 5e-324, 1e-300, -1e-300, 1e99, -1e99, 1.7e308, -1.7e308, float("nan"), float("inf"), 10**400, None)


@pytest.mark.parametrize("one", EXTREMES, ids=lambda one: str(one)[:8])
@pytest.mark.parametrize("other", [0.0, 5e-324, 1.7e308])
def test_figures_of_any_size_can_be_drawn(altered: Folders, one: float | None, other: float) -> None:
    folder = altered[0]
    scores = {"precision": one, "recall": other, "f1": one}
    quality = {"n": 10, "uncompiled": scores, "compiled": scores, "f1_loss": one, "low": other, "high": one}
    files: dict[str, list[Any]] = {"quality": [quality]}
    files["scores"] = [{"mode": 0, "difference": value} for value in (one, other)]
    files["lengths"] = [
        {"encoder": "word", "tokens": 9, "cosine": value, "difference": value} for value in (one, other)
    ]
    for name, rows in files.items():
        (folder / "evidence" / f"{name}.json").write_text(json.dumps(rows))
    ratio = {"ratio": one, "low": other, "high": one, "distinguishable": True}
    compiled = {"p50_ms": one, "load_s": other, "docs_per_s": {"1": one}}
    change(folder / "verdict.json", bounds={} if other == 0 else {"score_atol": other / 1.8e308})
    change(folder / "latency.json", samples_ms={"compiled": [one, other]}, compiled=compiled, ratios={"p50_ms": ratio})
    assert not re.search(r'="(nan|inf|-inf)%?"', written(*altered).source)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**400)
    | st.floats()
    | st.text(st.characters(codec="utf-16", exclude_categories=[]), max_size=5)
    | st.sampled_from([HOSTILE, "at most", "passed"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_no_damage_to_any_file_keeps_the_page_from_being_written(full: Folders, data: st.DataObject) -> None:
    """Puts anything at all in the place of anything in one of the files."""
    path = data.draw(st.sampled_from(sorted(path for folder in full for path in folder.rglob("*.json"))))
    sound = path.read_bytes()
    contents = {"": json.loads(sound)}
    place: Any = contents
    key: Any = ""
    for _ in range(data.draw(st.integers(0, 6))):
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        place, key = inner, data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    place[key] = data.draw(JSON)
    try:
        path.write_text(json.dumps(contents[""]))
        if path.name == "manifest.json" and isinstance(contents[""], dict):
            reseal(path)
        written(*full)
    finally:
        path.write_bytes(sound)
        (full[0] / SAMPLES).unlink(missing_ok=True)


def reseal(manifest: Path) -> None:
    """Makes an altered manifest vouch for itself, as whoever alters one on purpose would."""
    data = {name: value for name, value in json.loads(manifest.read_text()).items() if name != "digest"}
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    manifest.write_text(json.dumps({**data, "digest": digest}))


def test_hostile_manifest_that_vouches_for_itself_is_no_danger(altered: Folders) -> None:
    manifest = altered[1] / "manifest.json"
    hostile = {"": "1", "../../x": "2", HOSTILE.replace("\ud800", ""): HOSTILE.replace("\ud800", ""), "torch": "9.9"}
    change(manifest, toolchain=hostile, backend="<b>", options={"<i>": "<u>"})
    reseal(manifest)
    page = written(*altered)
    assert "torch 9.9" in page.text
    assert "<b>, fp32" in page.text
    assert not {"i", "u"} & {tag for tag, _ in page.part('id="lineage"', "</section>").elements}
