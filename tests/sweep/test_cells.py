"""Cells: which there are, and that an experiment's name says which one it is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imports import ROOT

from modelkiln import ModelkilnError
from modelkiln.sweep.cells import Cell, all_cells, default_model, options

CONF = ROOT / "conf"
PART = st.text(st.sampled_from("abc.-_0"), min_size=1, max_size=6)
CELL = st.builds(Cell, PART, PART, PART, st.lists(st.sampled_from(["a=1", "b=2", "a=12", "b"]), max_size=3).map(tuple))


def test_by_default_there_is_every_backend_in_every_variant_of_the_default_model() -> None:
    cells = all_cells(conf=CONF)
    assert {cell.model for cell in cells} == {"all-MiniLM-L6-v2"}
    assert [(cell.variant, cell.backend) for cell in cells] == [
        (variant, backend) for variant in ("base", "trained") for backend in options("backend", CONF)
    ]
    assert {"onnxruntime", "onnxruntime-int8", "openvino-bf16", "neuron", "neuronx"} <= {cell.backend for cell in cells}


def test_hundreds_of_cells_are_a_product_without_repetition() -> None:
    models = options("model", CONF)
    cells = all_cells([*models, models[0]], ["base"], ["generic", "openvino", "generic"], ["env=prod"], CONF)
    assert [(cell.model, cell.backend) for cell in cells] == [(m, b) for m in models for b in ("generic", "openvino")]
    assert {cell.further for cell in cells} == {("env=prod",)}


def test_command_is_the_plain_one_and_stops_before_the_stage_that_registers() -> None:
    cell = Cell("m", "base", "generic", ("validate.golden=a file.jsonl",))
    assert shlex.split(cell.command) == [
        *("dvc", "exp", "run", "--name", cell.name, "-S", "model=m", "-S", "variant=base", "-S", "backend=generic"),
        *("-S", "validate.golden=a file.jsonl", "validate"),
    ]


@given(CELL, CELL)
def test_two_cells_have_one_name_only_if_they_are_the_same(one: Cell, other: Cell) -> None:
    assert (one.name == other.name) is (one == other)


def test_names_are_taken_by_git_and_by_shells_as_they_are() -> None:
    for cell in all_cells(further=["env=prod"], conf=CONF):
        subprocess.run(["git", "check-ref-format", f"refs/exps/ab/cd/{cell.name}"], check=True)
        assert shlex.quote(cell.name) == cell.name
        assert "/" not in cell.name  # DVC's own rule


def test_unknown_options_are_named_all_at_once_with_what_was_meant() -> None:
    with pytest.raises(ModelkilnError) as raised:
        all_cells(["bert"], ["tained"], ["genric"], conf=CONF)
    for part in ("unknown model 'bert'", "did you mean 'trained'?", "did you mean 'generic'?"):
        assert part in str(raised.value)


@pytest.mark.parametrize("further", ["nogroup=x", "compile.max_bach=3", "env=pord"])
def test_mistyped_further_override_stops_before_anything_runs(further: str) -> None:
    with pytest.raises(ModelkilnError):
        all_cells(backends=["generic"], further=[further], conf=CONF)


def test_default_model_is_the_one_that_conf_chooses(tmp_path: Path) -> None:
    conf = Path(shutil.copytree(CONF, tmp_path / "conf"))
    config = (conf / "config.yaml").read_text()
    (conf / "config.yaml").write_text(config.replace("model: all-MiniLM-L6-v2", "model: other"))
    assert default_model(conf) == "other"
    (conf / "config.yaml").write_text(config.replace("  - model: all-MiniLM-L6-v2", "  - env: dev"))
    with pytest.raises(ModelkilnError, match="chooses no model; give --model"):
        default_model(conf)


def test_outside_of_a_project_it_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="run this in the project's folder"):
        all_cells(["bert"], conf=tmp_path)
