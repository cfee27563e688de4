"""Tasks: what a compiled encoder is for. One file each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from modelkiln import plugins
from modelkiln.parity import Parity

if TYPE_CHECKING:
    from modelkiln.encoder import Encoder


FOLDER = "task"  # of those files, in the artifact


def to_text(data: Any) -> str:
    """The one form in which a task's JSON stands in an artifact, so that nothing else can stand in it."""
    return json.dumps(data, indent=0) + "\n"


class Task(Protocol):
    """What a module in this folder has to offer."""

    ENCODERS: tuple[str, ...]  # the encoders that it needs
    RECURRING: tuple[str, ...]  # those whose texts are met again and again, so that their vectors are worth keeping
    LIBRARIES: tuple[str, ...]  # distributions whose versions its resources depend on
    GOLDEN_PARAMS: tuple[dict[str, Any], ...]  # the modes in which answers are compared
    QUALITY_PARAMS: dict[str, Any]  # the mode in which answers are held against gold ones

    def resources(self) -> dict[str, str]:
        """Files that the artifact carries for the predictor, {name: text}."""

    def reference_resources(self) -> dict[str, Any]:
        """What those files have to say, as JSON, by the library that users know, and not by our own copy of it."""

    def build(self, encoders: Mapping[str, Encoder], folder: Path) -> Any:
        """The predictor over an artifact's encoders; `folder` is the verified artifact."""

    def reference(self, embed: Callable[[Sequence[str]], Any]) -> Any:
        """A predictor with the same interface, by the library that users know, over any texts -> vectors."""

    def predict(self, predictor: Any, inputs: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """A predictor's answers in one mode, one for each input."""

    def read(self, answers: Any, inputs: int) -> list[Any]:
        """Answers as JSON has them, as predict gives them: one for each input.

        Raises:
            ModelkilnError: they are no answers of this task, or not as many.
        """

    def compare(self, expected: Any, actual: Any, atol: float) -> Parity:
        """How the answers differ; see modelkiln.parity."""


def load(name: str) -> Task:
    """The task of that name; a ModelkilnError lists the known ones."""
    return cast(Task, plugins.load("tasks", name))
