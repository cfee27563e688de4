"""The leaderboard's page: all of it is there, it stands alone, and nothing that a cell is called can get out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report.page import BROWSER, Page, reach
from sweep.results import LACKING, LOSING, make_up

from modelkiln.sweep import table
from modelkiln.sweep.experiments import FAILED, PASSED, Result
from modelkiln.sweep.leaderboard import COLUMNS, Rule, judge
from modelkiln.sweep.page import render
from modelkiln.sweep.plot import plot

RULE = Rule(max_f1_loss=0.01, min_speedup=1.5)
HOSTILE = "</td><script>alert(1)</script>\"'&\u202e\x1b[31m[bold]"


def page_of(results: list[Result], rule: Rule = RULE) -> Page:
    return Page(render(judge(results, rule), "c" * 40))


@pytest.mark.parametrize("number", [1, 8, 40])
def test_every_cell_has_its_figures_its_reason_and_its_command(number: int) -> None:
    results = make_up(number)
    page = page_of(results)
    assert not page.mistakes
    rows = page.part('<table class="stack cells">', "</table>").source.split("<tbody")[1:]
    board = judge(results, RULE)
    assert len(rows) == number
    for row, shown in zip(board.rows, rows, strict=True):
        text = Page(f"<tbody{shown}").text
        assert row.result.name in text
        assert row.result.state in text
        assert row.lost in text
        assert row.result.command in text
        assert ("front" in text) is row.in_front
        assert shown.count('<td class="num" data-label') == len(COLUMNS)
    assert board.best is not None
    assert page.text.split(f"commit {'c' * 12}… ")[1].startswith(
        f"{board.best.name} is the best by the rule. It goes into the registry by modelkiln adopt {board.best.name} "
        "The rule: passed, f1_loss at most 0.01, speedup at least 1.5, then the highest speedup."
    )


def test_refused_and_failed_cells_say_why() -> None:
    text = page_of(make_up(40)).text
    assert f"refused: {LOSING} dvc exp apply" in text
    assert f"failed: {LACKING} dvc exp run --name" in text


@pytest.mark.parametrize("number", [1, 8, 40])
def test_picture_has_each_cell_with_both_figures_and_its_number(number: int) -> None:
    board = judge(make_up(number), RULE)
    placed = [i for i, row in enumerate(board.rows, 1) if {"speedup", "f1_loss"} <= row.result.figures.keys()]
    picture = plot(board)
    assert picture is not None
    assert sorted(int(dot.title.split(":")[0]) for dot in picture.dots) == placed
    assert all(0 <= place <= 100 for dot in picture.dots for place in (dot.x, dot.y))
    labelled = re.findall(r"\d+", " ".join(label.text for label in picture.labels))
    assert set(labelled) <= set(map(str, placed))
    assert str(placed[0]) in labelled
    assert len(picture.front) == max(0, sum(row.in_front for row in board.rows) - 1)
    source = page_of(make_up(number)).source
    assert len(re.findall(r'<circle class="cell \w+" cx', source)) == 4 + len(placed)  # and the key's


def test_what_is_faster_is_further_right_and_what_loses_less_is_further_up() -> None:
    slow = Result("slow", PASSED, figures={"speedup": 1.0, "f1_loss": 0.0, "agreement": 1.0})
    lossy = Result("lossy", PASSED, figures={"speedup": 3.0, "f1_loss": 0.1, "agreement": 0.5})
    for results in (
        [slow, lossy],
        [Result(r.name, PASSED, figures={**r.figures, "f1_loss": 0.0}) for r in (slow, lossy)],
    ):
        picture = plot(judge(results, Rule()))
        assert picture is not None
        places = {dot.title.split(": ")[1]: dot for dot in picture.dots}
        assert places["slow"].x < places["lossy"].x
        if results[1].figures["f1_loss"]:
            assert places["slow"].y < places["lossy"].y  # from the top
    ungraded = [
        Result(r.name, PASSED, figures={k: v for k, v in r.figures.items() if k != "f1_loss"}) for r in (slow, lossy)
    ]
    picture = plot(judge(ungraded, Rule()))
    assert picture is not None
    places = {dot.title.split(": ")[1]: dot for dot in picture.dots}
    assert places["slow"].y < places["lossy"].y
    assert "share of documents with the same keywords" in picture.upwards


def test_ticks_stand_where_their_values_do() -> None:
    picture = plot(judge(make_up(40), RULE))
    assert picture is not None
    zero = [tick.at for tick in picture.y.ticks if tick.label == "0"]
    exact = {dot.y for dot in picture.dots if dot.y == min(dot.y for dot in picture.dots)}  # those that lose nothing
    assert zero == [pytest.approx(100 - exact.pop(), abs=0.1)]


def test_limits_of_the_rule_are_drawn_where_the_picture_reaches_them() -> None:
    picture = plot(judge(make_up(40), RULE))
    assert picture is not None
    assert [line.label for line in picture.upright] == ["at least 1.5"]
    assert [line.label for line in picture.level] == ["at most 0.01"]
    outside = plot(judge(make_up(40), Rule(min_speedup=100.0, max_f1_loss=5.0)))
    assert outside is not None
    assert not outside.upright + outside.level


def test_without_any_speed_it_says_so_and_draws_nothing() -> None:
    results = [Result("a", PASSED, figures={"f1_loss": 0.0}), Result("b", FAILED, reason="out of memory")]
    page = page_of(results, Rule())
    assert "there is nothing to draw" in page.text
    assert "None is within the rule" in page.text
    assert "no speedup: not measured, or too unsteady to tell" in page.text


def test_what_a_cell_is_called_stays_a_text() -> None:
    results = [
        Result(HOSTILE, PASSED, figures={"speedup": 2.0, "f1_loss": 0.0}, reason=HOSTILE),
        Result(f"other {HOSTILE}", FAILED, reason=HOSTILE, rerun=HOSTILE),
    ]
    page = page_of(results, Rule())
    assert not page.mistakes
    assert "script" not in {tag for tag, _ in page.elements}
    assert "⟨U+202E⟩" in page.text
    assert "\u202e" not in page.source
    assert "\x1b" not in page.source


def test_page_stands_alone_and_is_the_same_for_the_same_results() -> None:
    page = page_of(make_up(40))
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert not {"src", "href", "onclick", "onload"} & attributes.keys()
    assert not re.search(r"url\(|@import|https?://", page.source)
    assert page_of(make_up(40)[::-1]).source == page.source


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
@pytest.mark.heavy
@pytest.mark.parametrize("width", [400, 1200])
def test_page_fits_its_window(width: int, tmp_path: Path) -> None:
    pages = [page_of(make_up(number)) for number in (1, 40)]
    assert reach(pages, width, tmp_path) == [f"{width} ", f"{width} "]


def test_terminal_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    board = judge(make_up(8), RULE)
    table.show(board)
    shown = capsys.readouterr().out
    for row in board.rows:
        assert row.result.name in shown
        assert row.lost in shown
    assert f"the rule: {RULE}" in shown
    assert board.best is not None
    assert shown.splitlines()[-1] == f"the best: {board.best.name}    {board.best.command}"
    assert shown.splitlines()[1].startswith(f"{board.best.name} *")
    assert max(map(len, shown.splitlines())) < 200


def test_terminal_is_not_drawn_on_by_what_a_cell_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(judge([Result(HOSTILE, FAILED, reason=HOSTILE)], Rule()))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold]" in shown
