"""Tasks: what a compiled encoder is for. One file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from modelkiln import plugins
from modelkiln.parity import Parity

if TYPE_CHECKING:
    from modelkiln.encoder import Encoder


class Task(Protocol):
    """What a module in this folder has to offer."""

    ENCODERS: tuple[str, ...]  # the encoders that it needs
    RECURRING: tuple[
        str, ...
    ]  # those of them whose texts are met again and again, so that their vectors are worth keeping
    LIBRARIES: tuple[str, ...]  # distributions whose versions its resources depend on
    GOLDEN_PARAMS: tuple[dict[str, Any], ...]  # the modes in which the golden samples are predicted

    def resources(self) -> dict[str, str]:
        """Files that the artifact carries for the predictor, {name: text}."""

    def build(self, encoders: Mapping[str, Encoder], folder: Path) -> Any:
        """The predictor over an artifact's encoders; `folder` is the verified artifact."""

    def reference(self, source: Path) -> Any:
        """A predictor over the uncompiled model with the same interface, by the library that users know."""

    def predict(self, predictor: Any, inputs: Sequence[str]) -> list[Any]:
        """A predictor's answers to the golden inputs: for each of GOLDEN_PARAMS a list, with one for each input."""

    def compare(self, expected: Any, actual: Any, atol: float) -> Parity:
        """How the answers differ; see modelkiln.parity."""


def load(name: str) -> Task:
    """The task of that name; a ModelkilnError lists the known ones."""
    return cast(Task, plugins.load("tasks", name))
