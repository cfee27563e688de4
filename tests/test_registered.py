"""The compiled model is held to what its trained model was registered with, where there is any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import ModelkilnError, plan, tasks
from modelkiln.bounds import STRICT
from modelkiln.checks.answers import Answers
from modelkiln.checks.plugin import Judge
from modelkiln.checks.test_registered import test_predictions as judge_predictions
from modelkiln.contents import GOLDEN_FILES
from modelkiln.files import to_json, write_text
from modelkiln.golden import read_samples
from modelkiln.tasks import keywords

TEXTS = [sample.text for sample in read_samples()[:2]]
LIMITS = plan.limits("registered: predictions")
MODES = [{"top_n": 5}, {"keyphrase_ngram_range": [1, 2], "top_n": 4}]

Judged = Callable[..., tuple[list[str], dict[str, Any]]]


class Itself:
    """The compiled model in the uncompiled one's place."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor

    def answers(self, task: tasks.Task, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        return task.predict(self._predictor, texts, params)


@pytest.fixture
def judged(tiny_artifact: Path, tmp_path: Path) -> Judged:
    """Judges against registered predictions that `change` has altered: what is out of bounds, and the figures."""
    predictor = modelkiln.load(tiny_artifact)

    def run(change: Callable[[list[Any]], None] = lambda _: None) -> tuple[list[str], dict[str, Any]]:
        predictions: list[Any] = [
            [[[word, score] for word, score in each] for each in keywords.predict(predictor, TEXTS, mode)]
            for mode in MODES
        ]
        change(predictions)
        for name, data in zip(GOLDEN_FILES, (TEXTS, MODES, predictions), strict=True):
            write_text(tmp_path / name, to_json(data))
        kept: list[tuple[str, Any]] = []
        judge = Judge(LIMITS, STRICT, kept)
        judge_predictions(judge, Answers(tasks.load("keywords"), Itself(predictor), predictor), tmp_path, STRICT)
        return judge.broken, {name: figure.value for name, figure in kept}

    return run


def test_predictions_that_were_registered_hold(judged: Judged) -> None:
    broken, figures = judged()
    assert broken == []
    assert figures == {
        "agreement": 1.0,
        "agreement_of_the_uncompiled": 1.0,
        "max_score_difference": 0.0,
        "overlap": 1.0,
    }


def _other_word(predictions: list[Any]) -> None:
    first, last = predictions[1][0][0], predictions[1][0][-1]
    first[0], last[0] = last[0], first[0]


def _other_score(predictions: list[Any]) -> None:
    predictions[0][1][2][1] -= 0.01


def _no_number(predictions: list[Any]) -> None:
    predictions[0][1][2][1] = "nan"


@pytest.mark.parametrize("change", [_other_word, _other_score, _no_number])
def test_other_predictions_in_any_mode_are_out_of_bounds(change: Callable[[list[Any]], None], judged: Judged) -> None:
    broken, figures = judged(change)
    assert broken
    # The uncompiled model, here the same, does not make them either: the environment has changed, not the artifact.
    assert figures["agreement_of_the_uncompiled"] == figures["agreement"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda predictions: predictions[0].pop(), "keywords of 1 documents, expected 2"),
        (lambda predictions: predictions[0].__setitem__(0, 5), r"expected a list of \[keyword, score\]"),
        (lambda predictions: predictions[0][0].__setitem__(0, ["word"]), r"expected a list of \[keyword, score\]"),
        (lambda predictions: predictions.pop(), "expected answers for each of 2 modes"),
    ],
)
def test_predictions_that_are_none_are_one_line(change: Any, said: str, judged: Judged) -> None:
    with pytest.raises(ModelkilnError, match=said):
        judged(change)


def test_model_without_registered_predictions_is_not_judged_by_any(tmp_path: Path) -> None:
    judge: Any = Judge(LIMITS, STRICT, [])
    answers = Answers(tasks.load("keywords"), Itself(None), None)
    with pytest.raises(pytest.skip.Exception, match="came without registered predictions"):
        judge_predictions(judge, answers, tmp_path, STRICT)


@pytest.mark.parametrize("answers", [[["tram", 0.5], ["rain", 0.4]], [[["tram", 0.5], ["rain", 0.4]]]])
def test_keywords_of_a_single_text_may_stand_by_themselves(answers: Any) -> None:
    assert keywords.read(answers, 1) == [[("tram", 0.5), ("rain", 0.4)]]
    assert keywords.read([], 0) == []
    assert keywords.read([], 1) == [[]]
    assert keywords.read([[]], 1) == [[]]
