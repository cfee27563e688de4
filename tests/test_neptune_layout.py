"""Where an attribute goes: never out of the folder, never over another, and only what lies under the card's path."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelkiln import ModelkilnError
from modelkiln.contents import GOLDEN_FILES
from modelkiln.neptune.layout import ARTIFACTS, CARD, CARD_FILE, COMPILED_VERSIONS, places

# What names are made of, and what is near to leading out or to colliding.
PARTS = st.sampled_from(
    [
        "model",
        "model_artifacts",
        "test_files",
        "inputs",
        "a",
        "A",
        "b",
        "..",
        ".",
        "",
        "é",
        "e\u0301",
        "\\",
        "c:",
        "ß",
        "ss",
    ]
)
ATTRIBUTES = st.one_of(
    st.lists(PARTS, min_size=1, max_size=5).map("/".join),
    st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: f"{ARTIFACTS}/" + "/".join(parts)),
    st.text(max_size=20),
    st.sampled_from([CARD, COMPILED_VERSIONS, "model/test_files/inputs", "modelkiln/digest"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ATTRIBUTES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["inputs", "predictions", "x"]), inner),
    max_leaves=6,
)
CARDS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({}, optional={"model_artifact_attribute_path": JSON, "model_test_files": JSON}),
)


@settings(deadline=None)
@given(st.sets(ATTRIBUTES, max_size=6), CARDS)
def test_places_lie_inside_and_never_collide_or_the_version_is_refused(
    attributes: set[str], card: dict[str, Any]
) -> None:
    try:
        found = places(attributes, card, "here")
    except ModelkilnError:
        return
    assert set(found) <= attributes
    folder = Path("/folder")
    resolved = [(folder / path).resolve() for path in found.values()]
    assert all(path.is_relative_to(folder) and path != folder for path in resolved)
    folded = [unicodedata.normalize("NFC", str(path)).casefold() for path in resolved]
    assert len(set(folded)) == len(folded)
    # And none is a folder of another.
    assert not {str(parent) for path in folded for parent in PurePosixPath(path).parents} & set(folded)


@settings(deadline=None)
@given(st.sets(ATTRIBUTES, max_size=6), st.sampled_from(["x", "x/y", "model", ARTIFACTS, "/x/"]))
def test_only_what_lies_under_the_cards_path_with_the_slash_is_a_file_of_the_model(
    attributes: set[str], path: str
) -> None:
    attributes |= {f"{path.strip('/')}{end}" for end in ("", "_old/f", "/f")}
    try:
        found = places(attributes, {"model_artifact_attribute_path": path}, "here")
    except ModelkilnError:
        return
    assert found[f"{path.strip('/')}/f"] == "model/f"
    files = {attribute for attribute, place in found.items() if place.startswith("model/")}
    assert all(attribute.startswith(f"{path.strip('/')}/") for attribute in files)


@settings(deadline=None)
@given(st.sets(ATTRIBUTES, max_size=6), CARDS)
def test_order_of_the_attributes_makes_no_difference(attributes: set[str], card: dict[str, Any]) -> None:
    def outcome(given: list[str]) -> object:
        try:
            return places(given, card, "here")
        except ModelkilnError as error:
            return str(error)

    assert outcome(sorted(attributes)) == outcome(sorted(attributes, reverse=True) * 2)


def test_layout_without_a_card_is_the_usual_one() -> None:
    attributes = [f"{ARTIFACTS}/a/b", CARD, COMPILED_VERSIONS, "model/test_files/predictions", "training/log"]
    assert places(attributes, {}, "here") == {
        f"{ARTIFACTS}/a/b": "model/a/b",
        CARD: CARD_FILE,
        "model/test_files/predictions": "golden/predictions.json",
    }


@pytest.mark.parametrize(
    "test_files",
    [
        "tests",
        {"inputs": "tests/inputs", "inference_params": "tests/inference_params", "predictions": "tests/predictions"},
        ["tests/inputs.json", "tests/predictions.json", "tests/inference_params.json"],
    ],
)
def test_card_may_name_golden_samples_as_a_folder_each_or_in_a_list(test_files: Any) -> None:
    end = ".json" if isinstance(test_files, list) else ""
    attributes = [f"tests/{name}{end}" for name in ("inputs", "inference_params", "predictions")]
    found = places(attributes, {"model_test_files": test_files}, "here")
    assert tuple(found[attribute] for attribute in attributes) == GOLDEN_FILES


def test_golden_samples_and_card_remain_themselves_among_the_artifacts() -> None:
    attributes = [CARD, COMPILED_VERSIONS, "model/test_files/inputs", "model/config.json"]
    found = places(attributes, {"model_artifact_attribute_path": "model"}, "here")
    assert set(found.values()) == {CARD_FILE, "golden/inputs.json", "model/config.json"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "A"], "are one file where case"),
        (["é", "e\u0301"], "are one file where case or accents"),
        (["a", "a/b"], "is a file, and"),
        (["a//b"], "is no path of a file"),
        (["a/"], "is no path of a file"),
        (["../a"], "leads out"),
        (["/a"], "is no path of a file"),
        (["C:a"], "leads out"),
    ],
)
def test_what_is_refused_is_named(names: list[str], said: str) -> None:
    with pytest.raises(ModelkilnError, match=said) as raised:
        places([f"{ARTIFACTS}/{name}" for name in names], {}, "here")
    assert repr(f"{ARTIFACTS}/{names[0]}") in str(raised.value)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ([], "no JSON object"),
        ({"model_artifact_attribute_path": ["x"]}, "the card names"),
        ({"model_artifact_attribute_path": "/"}, "the card names"),
        ({"model_test_files": {"inputs": "x", "predictions": "x"}}, "names one attribute for two"),
        ({"model_test_files": [3]}, "the card names"),
    ],
)
def test_card_that_makes_no_sense_is_refused(card: Any, said: str) -> None:
    with pytest.raises(ModelkilnError, match=said):
        places([CARD], card, "here")
