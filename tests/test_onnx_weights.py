"""The files that an ONNX graph reads are found wherever it names them, and damage is told in one line."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from modelkiln import ModelkilnError
from modelkiln.onnx_weights import weight_files


def tensor(location: str | None) -> TensorProto:
    made = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[2])
    if location is None:
        made.raw_data = b"location"
        return made
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "8")):
        made.external_data.add(key=key, value=value)
    return made


def graph(location: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    made = helper.make_graph(list(nodes), "location", [], [], [tensor(location), tensor(None)])
    sparse = made.sparse_initializer.add()
    sparse.values.CopyFrom(tensor(f"{location} sparse"))
    sparse.indices.CopyFrom(tensor(f"{location} indices"))
    return made


def model() -> onnx.ModelProto:
    """Names a file in each place where ONNX has tensors, however deep, and one of them twice."""
    constant = helper.make_node("Constant", [], ["out"], value=tensor("constant"), several=[tensor("several")])
    inner = helper.make_node("Loop", [], ["out"], body=graph("inner", constant))
    outer = helper.make_node("If", [], ["out"], then_branch=graph("outer", inner), several=[graph("twice")])
    made = helper.make_model(graph("twice", outer))
    made.functions.append(helper.make_function("d", "f", [], [], [constant], []))
    made.functions[0].attribute_proto.append(helper.make_attribute("a", tensor("default")))
    made.training_info.add().initialization.CopyFrom(graph("training"))
    made.metadata_props.add(key="location", value="no file")
    return made


def test_every_file_is_found_once_wherever_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(model().SerializeToString())
    graphs = [
        f"{name}{part}" for name in ("inner", "outer", "training", "twice") for part in ("", " indices", " sparse")
    ]
    assert weight_files(tmp_path / "graph.onnx") == sorted([*graphs, "constant", "default", "several"])


def test_weights_are_passed_over(tmp_path: Path) -> None:
    """A terabyte of them, in a file that is mostly a hole, takes no time and no memory."""
    path = tmp_path / "graph.onnx"
    size = 1 << 40
    try:
        with path.open("wb") as file:
            file.write(b"\x52" + bytes([*(0x80 for _ in range(5)), 0x20]))  # field 10, of that size
            file.truncate(7 + size)
            file.seek(7 + size)
            file.write(model().SerializeToString())
    except OSError as error:
        pytest.skip(f"no such file can be here: {error}")
    assert "twice" in weight_files(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"no graph", "no field of a protobuf at byte 1"),
        (b"\x3a\x7f", "no field of a protobuf at byte 2"),  # a graph of 127 bytes
        (b"\x3a" + b"\xff" * 20, "no number at byte 1"),
        (b"\x08", "no number at byte 1"),
        (b"\x00\x00", "no field of a protobuf at byte 1"),
        (b"\x3a\x0c\x2a\x0a\x6a\x08\x0a\x08location"[:-8] + b"\xff" * 8, "no "),
    ],
)
def test_damage_is_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelkilnError, match=f"the ONNX graph is damaged: {said}") as raised:
        weight_files(path)
    assert "\n" not in str(raised.value)


def test_missing_graph_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="can't read the graph: No such file"):
        weight_files(tmp_path / "graph.onnx")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_the_answer_is_names_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(model().SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    (tmp_path / "graph.onnx").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        said = [*weight_files(tmp_path / "graph.onnx")]
    except ModelkilnError as error:
        said = str(error).splitlines()
        assert len(said) == 1
    assert all(isinstance(line, str) for line in said)
