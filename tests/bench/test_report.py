"""The benchmark's page: made from its figures, by nobody's hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from imports import ROOT

from benchmarks.page import write_page
from benchmarks.picture import write_picture
from benchmarks.stream import _verdict, _write
from benchmarks.targets import targets
from modelkiln.bench.figures import figures
from modelkiln.bench.measure import Record, Results
from modelkiln.bench.peers import BASE, NAMES

SECONDS = {BASE: 4.0, "modelkiln": 1.0, "onnx": 3.0, "openvino": 2.0, "replaced": 30.0}


@pytest.fixture
def data() -> dict[str, Any]:
    """What a run leaves, of peers that are 4, 3, 2 and 30 times slower than modelkiln."""
    records = [Record(NAMES[name], 1, (1, 1), 1, 0, 0, 1, [seconds], 100, -1) for name, seconds in SECONDS.items()]
    start = {"versions": {"python": "3"}, "files_mb": 1, "threads": 1}
    starts = [
        {"peer": NAMES["modelkiln"], "first_s": [1.0, 2.0, 1.0], "first_peak_mb": 90, **start},
        {"peer": NAMES[BASE], "first_s": [10.0, 10.0, 10.0], "first_peak_mb": 200, **start},
    ]
    facts = {"command": "make", "date": "2020-01-01", "documents_name": "texts", "max_length": 256, "documents": 1}
    machine = {"processor": "p", "cores": "1", "memory": "m", "instructions": "i", "python": "3"}
    shown = [asdict(figure) for figure in figures(Results(records=records), NAMES[BASE])]
    records_too = [asdict(record) for record in records]
    peers = {"records": records_too, "figures": shown, "starts": starts, "failed": {}, "machine": machine, **facts}
    return json.loads(
        json.dumps({"peers": peers, "table": {"with_s": 80, "without_s": 10, "machine": machine, **facts}})
    )


def test_each_target_stands_beside_what_was_reached(data: dict[str, Any]) -> None:
    rows = {what: (bound, value, reached) for what, bound, value, reached in targets(data)}
    base = NAMES[BASE]
    assert rows[f"(1,1), 1 in a call: times {base}"] == ("at least 3.2", "4", True)
    assert rows["(1,1), 1 in a call: times its best fp32 backend"] == ("at least 2.5", "2", False)
    assert rows["(1,1), 1 in a call: times the replaced system"] == ("at least 20", "30", True)
    assert rows[f"start to first keyword: share of {base}'s"] == ("at most 0.15", "0.1", True)
    assert rows[f"peak memory, (1,1), 1 in a call: share of {base}'s"] == ("at most 0.5", "0.5", True)
    assert rows["the table's cost in `make repro`: seconds"] == ("at most 60", "70", False)
    assert rows[f"(1,2), 1 in a call, nothing cached: times {base}"] == ("at least 2", "", None)


def test_same_figures_give_the_same_page_and_picture(data: dict[str, Any], tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_page(folder / "page.md", data)
        write_picture(folder / "picture.svg", data)
    for name in ("page.md", "picture.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "| at least 2.5 | 2 | **no** |" in (tmp_path / "a" / "page.md").read_text()


def test_page_in_docs_is_what_its_figures_give(tmp_path: Path) -> None:
    figures_of_docs = ROOT / "docs" / "benchmarks.json"
    if not figures_of_docs.exists():
        pytest.skip("docs/benchmarks.json was not measured yet: make bench")
    write_page(tmp_path / "page.md", json.loads(figures_of_docs.read_text()))
    assert (tmp_path / "page.md").read_text() == (ROOT / "docs" / "benchmarks.md").read_text()


def test_streamed_documents_are_all_different(tmp_path: Path) -> None:
    _write(tmp_path / "documents.jsonl", [f"w{number}" for number in range(40)], 100)
    texts = [json.loads(line)["text"] for line in (tmp_path / "documents.jsonl").read_text().splitlines()]
    assert len(set(texts)) == 100


def test_stream_compares_its_last_fifth_with_its_second() -> None:
    # 10 s for each of the first 10 samples, 20 s for each of the others, which hold 50 MB more.
    seconds = [10.0 * number + 10.0 * max(0, number - 10) for number in range(1, 21)]
    samples = [{"seconds": s, "rss_mb": 100 + 50 * (i >= 10)} for i, s in enumerate(seconds)]
    assert _verdict(samples) == {"cost_ratio": 2.0, "memory_growth_mb": 50}
