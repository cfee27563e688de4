"""What an ONNX file holds beside its graph is named, whatever form it has; what a compile leaves is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from modelkiln import ModelkilnError, onnx_contents
from modelkiln.backends import onnxruntime as backend

Alter = Callable[[Any], object]


@pytest.fixture(scope="module")
def graphs(tiny_artifact_for: Callable[[str, str], Path]) -> list[Path]:
    return [tiny_artifact_for("onnxruntime", precision) / "graphs" / backend.GRAPH for precision in ("fp32", "int8")]


def altered(graph: Path, folder: Path, alter: Alter) -> list[str]:
    model = onnx.load(graph)
    alter(model)
    onnx.save(model, folder / "graph.onnx")
    return onnx_contents.strangers(folder / "graph.onnx", 17)


def test_what_a_compile_leaves_has_nothing_else(graphs: list[Path], tmp_path: Path) -> None:
    for graph in graphs:
        assert onnx_contents.strangers(graph, 17) == []
        assert altered(graph, tmp_path, lambda model: None) == []


def opset(model: Any) -> None:
    (own,) = [each for each in model.opset_import if each.domain == ""]
    own.version = 18


def unread(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3), "backup"))


def twice(model: Any) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def dead(model: Any) -> None:
    model.graph.node.append(helper.make_node("Shape", [model.graph.input[0].name], ["unread"]))


def chance(model: Any) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["noise"], shape=[1]))
    model.graph.node.append(helper.make_node("Identity", ["noise"], [model.graph.output[0].name]))


def function(model: Any) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 17)]))


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (opset, "opset 18, expected 17"),
        (unread, "weights that nothing reads, 'backup'"),
        (twice, "1 weights of a name that others have"),
        (function, "field 25 of the model"),
        (dead, "an operator whose result nothing reads"),
        (chance, "an operator RandomNormal"),
        (lambda model: model.graph.output.add(name="hidden"), "2 outputs, expected 1"),
        (lambda model: setattr(model.graph.initializer[0], "doc_string", "a key: 1234"), "a text in a weight"),
        (lambda model: setattr(model, "doc_string", "a key: 1234"), "a doc_string"),
        (lambda model: setattr(model.graph, "doc_string", "a key: 1234"), "a doc_string of the graph"),
        (lambda model: setattr(model, "domain", "example"), "a domain"),
        (lambda model: setattr(model, "producer_name", "tensorflow"), "a producer b'tensorflow'"),
        (lambda model: model.metadata_props.add(key="token", value="1234"), "metadata"),
    ],
)
def test_whatever_is_beside_the_graph_is_named(alter: Alter, said: str, graphs: list[Path], tmp_path: Path) -> None:
    assert altered(graphs[0], tmp_path, alter) == [said]


def test_field_that_no_reader_knows_is_named(graphs: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(graphs[0].read_bytes() + b"\xba\x3e\x04data")
    onnx.load(path)  # which takes it without a word
    assert onnx_contents.strangers(path, 17) == ["field 999 of the model"]


def test_weights_that_a_graph_inside_an_operator_reads_are_read(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["kept"], ["y"])], "inner", [], [helper.make_tensor_value_info("y", 1, [1])]
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner)],
        "outer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.BOOL, [1])],
        [helper.make_tensor_value_info("z", 1, [1])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "kept")],
    )
    model = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)], producer_name="pytorch")
    onnx.save(model, tmp_path / "graph.onnx")
    assert onnx_contents.strangers(tmp_path / "graph.onnx", 17) == []


def test_file_that_is_no_graph_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(ModelkilnError, match="the ONNX graph is damaged"):
        onnx_contents.strangers(tmp_path / "graph.onnx", 17)
