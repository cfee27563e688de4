"""What an ONNX file holds that is no part of its graph, or contradicts how it was compiled; found without `onnx`.

A file may carry anything beside the graph that is run: metadata, weights that no operator reads, fields that no reader
knows. No comparison of vectors sees it.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from modelkiln.onnx_weights import LENGTH, every_field, mapped, number_at

# Fields by their numbers in onnx.proto3 of ONNX 1.23.
MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version"}
MODEL |= {6: "doc_string", 7: "graph", 8: "opset_import", 14: "metadata_props"}
GRAPH = {1: "node", 2: "name", 5: "initializer", 10: "doc_string", 11: "input", 12: "output", 13: "value_info"}
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_GRAPHS, TENSOR_NAME, TENSOR_TEXT, VALUE_NAME = (6, 11), 8, 12, 1
# How operators are called that give other numbers each time; Dropout has no place where nothing is trained.
CHANCE = (b"Random", b"Multinomial", b"Bernoulli", b"Dropout")
PRODUCERS = (b"pytorch", b"onnx.quantize")  # who exports, and who quantises
EMPTY = ("domain", "doc_string")  # fields that may be there, and may say nothing
METADATA = {1: b"onnx.infer", 2: b"onnxruntime.quant"}  # what quantising leaves


def strangers(path: Path, opset: int) -> list[str]:
    """A line for each thing in the file that the graph has no use for, or that is not as it was asked for.

    Args:
        path: The file.
        opset: The version of ONNX's own operators that it has to import.

    Raises:
        ModelkilnError: the file is missing, or damaged.
    """
    with mapped(path) as data:
        found = [f"field {number} of the model" for number in _numbers(data, 0, len(data)) - set(MODEL)]
        for number, form, first, last in every_field(data, 0, len(data)):
            if MODEL.get(number) == "producer_name" and data[first:last] not in PRODUCERS:
                found.append(f"a producer {data[first:last]!r}")
            elif MODEL.get(number) in EMPTY and last > first:
                found.append(f"a {MODEL[number]}")
            elif MODEL.get(number) == "metadata_props" and _parts(data, first, last) != METADATA:
                found.append("metadata")
            elif MODEL.get(number) == "opset_import" and form == LENGTH:
                found += _other_opset(data, first, last, opset)
            elif MODEL.get(number) == "graph" and form == LENGTH:
                found += _of_graph(data, first, last)
        return sorted(found)


def _of_graph(data: mmap.mmap, start: int, end: int) -> list[str]:
    found = [f"field {number} of the graph" for number in _numbers(data, start, end) - set(GRAPH)]
    weights: list[bytes] = []
    for number, _, first, last in every_field(data, start, end):
        if GRAPH.get(number) in EMPTY and last > first:
            found.append(f"a {GRAPH[number]} of the graph")
        elif GRAPH.get(number) == "initializer":
            weights += _texts(data, first, last, TENSOR_NAME)
            found += ["a text in a weight"] if any(_texts(data, first, last, TENSOR_TEXT)) else []
    read, operators = _read_by(data, start, end)
    found += [f"an operator {name.decode('utf-8', 'replace')}" for name in operators if name.startswith(CHANCE)]
    found += [
        f"weights that nothing reads, {name.decode('utf-8', 'replace')!r}" for name in weights if name not in read
    ]
    outputs = sum(GRAPH.get(number) == "output" for number, *_ in every_field(data, start, end))
    found += [f"{outputs} outputs, expected 1"] if outputs != 1 else []
    for number, form, first, last in every_field(data, start, end):
        if GRAPH.get(number) == "node" and form == LENGTH and read.isdisjoint(_texts(data, first, last, NODE_OUTPUT)):
            found.append("an operator whose result nothing reads")
    twice = len(weights) - len(set(weights))
    return found + ([f"{twice} weights of a name that others have"] if twice else [])


def _read_by(data: mmap.mmap, start: int, end: int) -> tuple[set[bytes], set[bytes]]:
    """The names that operators of a graph, or of graphs inside them, read, and that it gives out; the operators'."""
    names: set[bytes] = set()
    operators: set[bytes] = set()
    waiting = [(start, end)]
    while waiting:
        begin, stop = waiting.pop()
        for number, form, first, last in every_field(data, begin, stop):
            if form != LENGTH:
                continue
            if GRAPH.get(number) == "output":
                names.update(_texts(data, first, last, VALUE_NAME))
            elif GRAPH.get(number) == "node":
                names.update(_texts(data, first, last, NODE_INPUT))
                operators.update(_texts(data, first, last, NODE_OPERATOR))
                for part, kind, one, other in every_field(data, first, last):
                    if part == NODE_ATTRIBUTE and kind == LENGTH:
                        waiting += [
                            (inner, outer)
                            for field, sort, inner, outer in every_field(data, one, other)
                            if field in ATTRIBUTE_GRAPHS and sort == LENGTH
                        ]
    return names, operators


def _other_opset(data: mmap.mmap, start: int, end: int, opset: int) -> list[str]:
    domain, version = b"", 0
    for number, form, first, last in every_field(data, start, end):
        if number == 1 and form == LENGTH:
            domain = data[first:last]
        elif number == 2 and form == 0:
            version = number_at(data, first, last)
    return [f"opset {version}, expected {opset}"] if domain in (b"", b"ai.onnx") and version != opset else []


def _parts(data: mmap.mmap, start: int, end: int) -> dict[int, bytes]:
    """The texts of a message, by the numbers of their fields."""
    return {number: data[first:last] for number, _, first, last in every_field(data, start, end)}


def _numbers(data: mmap.mmap, start: int, end: int) -> set[int]:
    return {number for number, *_ in every_field(data, start, end)}


def _texts(data: mmap.mmap, start: int, end: int, field: int) -> list[bytes]:
    return [
        data[first:last]
        for number, form, first, last in every_field(data, start, end)
        if number == field and form == LENGTH
    ]
