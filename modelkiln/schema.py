"""Plain data from a config file -> frozen dataclasses, with every mistake collected instead of the first one raised."""

from __future__ import annotations

import reprlib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from modelkiln.errors import ModelkilnError
from modelkiln.plugins import suggest

REGISTERED_NAME = (
    r"[A-Za-z0-9][A-Za-z0-9._-]*"  # of a registered model or an alias, as it stands in mlflow:REGISTERED_NAME@ALIAS
)

REPR = reprlib.Repr()
REPR.maxstring = REPR.maxother = 80
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def parse(kind: Any, data: Any, where: str, mistakes: list[str]) -> Any:
    """`data` as an instance of `kind`, or None where that failed and `mistakes` says why.

    Args:
        kind: A dataclass, str, int, float, bool, dict[str, X], list[X], tuple[X, ...], `X | None`, or Any. A dataclass
            may refuse its values by raising ValueError in __post_init__.
        data: What a YAML or JSON file gave.
        where: The path of `data` in the file, such as `compile.encoders`, for the messages.
        mistakes: One line is appended for each mistake.
    """
    if kind is Any:
        return data
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (option for option in get_args(kind) if option is not type(None))
        return None if data is None else parse(inner, data, where, mistakes)
    if is_dataclass(kind):
        return _dataclass(kind, data, where, mistakes)
    if get_origin(kind) is dict:
        if not isinstance(data, Mapping):
            return _wrong(where, "a mapping", data, mistakes)
        inner = get_args(kind)[1]
        return {str(key): parse(inner, value, f"{where}.{key}", mistakes) for key, value in data.items()}
    if get_origin(kind) in (list, tuple):
        if not isinstance(data, list):
            return _wrong(where, "a list", data, mistakes)
        inner = get_args(kind)[0]
        return get_origin(kind)(parse(inner, value, f"{where}[{index}]", mistakes) for index, value in enumerate(data))
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        return _wrong(where, NAMES[kind], data, mistakes)
    return data


def _dataclass(kind: Any, data: Any, where: str, mistakes: list[str]) -> Any:
    if not isinstance(data, Mapping):
        return _wrong(where, "a mapping", data, mistakes)
    known = {field.name: field for field in fields(kind)}
    before = len(mistakes)
    mistakes += [f"{_at(where, key)}: unknown key{suggest(str(key), known)}" for key in data if key not in known]
    required = [name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    mistakes += [f"{_at(where, name)}: is missing" for name in required if name not in data]
    hints = get_type_hints(kind)
    values = {name: parse(hints[name], data[name], _at(where, name), mistakes) for name in known if name in data}
    if len(mistakes) > before:
        return None
    try:
        return kind(**values)
    except (ValueError, ModelkilnError) as error:
        mistakes.append(f"{where}: {error}" if where else str(error))
        return None


def shown(data: Any) -> str:
    """What was found, as a message can have it: short, however long or deeply nested it is."""
    return REPR.repr(data)


def _at(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _wrong(where: str, expected: str, data: Any, mistakes: list[str]) -> None:
    mistakes.append(f"{where or 'all of it'}: expected {expected}, found {shown(data)}")
