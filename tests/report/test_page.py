"""The report: what is on the page, that it stands alone, and that no damage keeps it from being written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from imports import ROOT
from report.folders import Folders, build
from report.page import BROWSER, Page, reach, written

from modelkiln.report import REPORT, SAMPLES, write_report
from modelkiln.report.words import TIMES
from modelkiln.verdict import NOT_APPLICABLE, read_verdict


@pytest.mark.parametrize("which", ["passed", "refused"])
def test_every_check_figure_bound_and_reason_is_on_the_page(which: str, request: pytest.FixtureRequest) -> None:
    folders = request.getfixturevalue(which)
    page = written(*folders)
    text = page.text
    checks = page.part('<section id="checks">', "</section>").text
    verdict = read_verdict(folders[0] / "verdict.json")
    assert verdict.passed is (which == "passed")
    for check in verdict.checks:
        assert f"{check.name.partition(': ')[2]} " in text
        assert check.reason in text
        assert check.outcome != NOT_APPLICABLE or check.reason in checks
    for _, name, value, bound in verdict.figures():
        assert f"{name.replace('_', ' ')} {value} {bound}" in text
    for name, value in verdict.bounds.items():
        assert f"{name} {value:.15g}" in text
    assert verdict.artifact in text


def test_passed_one_says_so_first(passed: Folders) -> None:
    page = written(*passed)
    assert page.text.split("Validation of a compiled model: all-MiniLM-L6-v2 for onnxruntime, fp32 ")[1].startswith(
        "✓ Passed The compiled model gives the uncompiled model's answers, within the strict bounds"
    )
    assert "17 of 17" in page.text
    assert "Refused" not in page.text


def test_refused_one_begins_with_each_failure_in_its_own_line(refused: Folders) -> None:
    page = written(*refused)
    verdict = read_verdict(refused[0] / "verdict.json")
    failed = [check for check in verdict.checks if check.outcome not in ("passed", NOT_APPLICABLE)]
    assert len(failed) > 5
    lines = page.part('<ol class="failures">', "</ol>").source.split("</li>")[:-1]
    assert [Page(line + "</li>").text for line in lines] == [f"{check.name} {check.reason}" for check in failed]
    assert page.source.index("✗ Refused") < page.source.index("</ol>") < page.source.index("<h2>")


def test_failures_lead_to_their_checks(refused: Folders) -> None:
    page = written(*refused)
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= anchors
    assert any(link.startswith("#check-") for link in links)


@pytest.mark.parametrize("which", ["passed", "refused"])
def test_page_refers_to_nothing_outside_itself(which: str, request: pytest.FixtureRequest) -> None:
    page = written(*request.getfixturevalue(which))
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    for _, attributes in page.elements:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
        assert not re.search(r"https?:|url\(|javascript:", " ".join(filter(None, attributes.values())))
    assert not re.search(r"url\(|@import", page.source)


def test_same_evidence_gives_the_same_page(passed: Folders) -> None:
    assert written(*passed).source == written(*passed).source


def test_page_has_a_size_that_a_mail_takes(passed: Folders, tmp_path: Path) -> None:
    assert len(written(*passed).source.encode()) < 200_000
    assert len(written(*build(tmp_path, documents=500, off=0.02)).source.encode()) < 1_000_000


def test_profile_stands_beside_the_uncompiled_models(passed: Folders) -> None:
    text = written(*passed).text
    assert f"loading 3.92 s 0.412 s 9.51 {TIMES} (9.03 to 10.1)" in text
    assert "peak memory 431 MB 413 MB not distinguishable" in text


def test_quality_is_shown_where_there_is_gold(refused: Folders, passed: Folders) -> None:
    text = written(*refused).text.split(" Quality ")[-1]
    assert "10 uncompiled 0.245 0.332 0.283 compiled 0.239 0.326 0.277 +0.0067 (+0.0036 to +0.0101) ✗" in text
    assert "Not applicable: the corpus has no gold key phrases" in written(*passed).text


def test_differences_between_documents_are_marked(refused: Folders) -> None:
    page = written(*refused)
    marked = re.findall(r'<mark class="only">([^<]+)', page.source.split('class="documents"')[1])
    worst = json.loads((refused[0] / "evidence" / "worst.json").read_text("utf-8"))
    only = [{word for word, _ in row["expected"]} ^ {word for word, _ in row["actual"]} for row in worst]
    assert sorted(marked) == sorted(word for words in only for word in words)
    assert page.source.count('class="card"') >= 10


def test_where_all_agree_it_says_so_and_shows_a_few(passed: Folders) -> None:
    text = written(*passed).text
    assert "Both models give the same answer to every document" in text
    assert "golden-1 " in text
    assert "Marked" not in text


def test_environment_tells_versions_that_differ(passed: Folders) -> None:
    assert re.search(r"onnxruntime 1\.30\.0 \S+ ≠", written(*passed).text)


def test_samples_are_left_as_rows(passed: Folders) -> None:
    write_report(*passed)
    rows = json.loads((passed[0] / SAMPLES).read_text("utf-8"))
    assert len(rows) == 480
    assert rows[0].keys() == {"model", "ms"}
    assert {row["model"] for row in rows} == {"compiled", "uncompiled"}


def test_can_be_written_again_by_hand(passed: Folders) -> None:
    folder, artifact, source = map(str, passed)
    command = [sys.executable, "-m", "modelkiln.report", folder, "--artifact", artifact, "--source", source]
    before = written(*passed).source
    (passed[0] / REPORT).unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(passed[0] / REPORT)
    assert (passed[0] / REPORT).read_text("utf-8") == before


def test_template_and_style_are_in_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["modelkiln"]
    data = [path.relative_to(ROOT / "modelkiln") for path in (ROOT / "modelkiln" / "report").glob("*.[!p]*")]
    assert len(data) == 3
    assert all(any(path.match(pattern) for pattern in patterns) for path in data)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_overflows_in_a_real_browser(passed: Folders, refused: Folders, width: int, tmp_path: Path) -> None:
    pages = [written(*passed), written(*refused)]
    assert reach(pages, width, tmp_path) == [f"{width} "] * len(pages)
