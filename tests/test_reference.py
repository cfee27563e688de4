"""The uncompiled model is loaded from safetensors, or one line says why not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelkiln import ModelkilnError
from modelkiln.reference import load_uncompiled


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a stand-in for sentence-transformers 2.7 was asked to load; test_interpreters has the real one."""
    asked: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return "loaded"

    stand_in = SimpleNamespace(__version__="2.7.0", SentenceTransformer=load)
    monkeypatch.setitem(sys.modules, "sentence_transformers", stand_in)
    return asked


@pytest.mark.parametrize("place", ["pytorch_model.bin", "0_Transformer/pytorch_model-00001-of-00002.bin"])
def test_old_library_that_would_take_pickles_is_given_none(
    place: str, loaded: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    with pytest.raises(ModelkilnError) as raised:
        load_uncompiled(tmp_path, "fetch it again")
    assert str(raised.value) == f"{tmp_path}: has weights as pickles ({place}), which are code; fetch it again"
    assert not loaded


def test_old_library_is_not_asked_what_it_does_not_know(loaded: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert load_uncompiled(tmp_path, "fetch it again") == "loaded"
    assert loaded == [{"name": str(tmp_path), "device": "cpu", "trust_remote_code": False}]
