"""Where teams on Neptune keep a model among the attributes of a model version, as our readers and writers know it.

    model/model_card                    JSON; may name other places for the next two:
    model/model_artifacts/<path>        one attribute for each file   (the card's `model_artifact_attribute_path`)
    model/test_files/inputs, …          golden samples                (the card's `model_test_files`)
    model/compiled_model_versions       JSON list of what was compiled from it: project, model, with_id, time_stamp
    modelkiln/…                         what modelkiln adds: digest, status, lineage, verdict

Each file may be a Neptune File, with its bytes there, or an Artifact, which says where in S3 they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from modelkiln.contents import GOLDEN, GOLDEN_FILES, MODEL
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside

CARD = "model/model_card"
ARTIFACTS = "model/model_artifacts"
TEST_FILES = "model/test_files"
COMPILED_VERSIONS = "model/compiled_model_versions"
OWN = "modelkiln"
CARD_FILE = "card.json"  # the card's place in a fetched version; see modelkiln.contents


def places(attributes: Iterable[str], card: Mapping[str, Any], where: str) -> dict[str, str]:
    """Which attributes are files of the model, and where each goes in a fetched version: {attribute: path}.

    Args:
        attributes: The paths of all the version's attributes that are files.
        card: The model card; empty where there is none.
        where: Names the version, for errors.

    Raises:
        ModelkilnError: a path leads out of the folder, or two lead to the same file on some system; says which.
    """
    if not isinstance(card, Mapping):  # it comes from outside
        raise ModelkilnError(f"{where}: {CARD} is no JSON object")
    artifacts = _path(card.get("model_artifact_attribute_path"), ARTIFACTS, where)
    golden = _golden(card.get("model_test_files"), where)
    own = {CARD: CARD_FILE, **golden}  # these count first: the card may say that the artifacts are all of `model`
    found: dict[str, str] = {}
    for attribute in sorted(set(attributes)):
        if attribute in own:
            found[attribute] = own[attribute]
        elif attribute == COMPILED_VERSIONS or attribute.startswith(f"{OWN}/"):
            continue
        elif attribute.startswith(f"{artifacts}/"):  # with the slash: model_artifacts_old/x is no part of it
            found[attribute] = f"{MODEL}/{attribute.removeprefix(f'{artifacts}/')}"
    mistakes = [f"{attribute!r} leads out of the folder" for attribute, path in found.items() if not is_inside(path)]
    mistakes += [f"{attribute!r} is no path of a file" for attribute, path in found.items() if "" in path.split("/")]
    mistakes += _collisions(found)
    raise_all(f"{where}: refused", mistakes)
    return found


def _golden(test_files: Any, where: str) -> dict[str, str]:
    """{attribute: path} of the golden samples; the card may give a folder, a list, or a path for each name."""
    if isinstance(test_files, Mapping):
        paths = {name: _path(test_files.get(name), f"{TEST_FILES}/{name}", where) for name in GOLDEN}
    elif isinstance(test_files, list):
        listed = [_path(path, f"{TEST_FILES}/{GOLDEN[0]}", where) for path in test_files]
        named = {path.rsplit("/", 1)[-1].partition(".")[0]: path for path in listed}
        paths = {name: named.get(name, f"{TEST_FILES}/{name}") for name in GOLDEN}
    else:
        folder = _path(test_files, TEST_FILES, where)
        paths = {name: f"{folder}/{name}" for name in GOLDEN}
    if len(set(paths.values())) < len(GOLDEN):
        raise ModelkilnError(f"{where}: the card names one attribute for two of {', '.join(GOLDEN)}")
    return {paths[name]: path for name, path in zip(GOLDEN, GOLDEN_FILES, strict=True)}


def _path(value: Any, default: str, where: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or not value.strip("/"):
        raise ModelkilnError(
            f"{where}: the card names {value!r}, expected the path of an attribute such as {default!r}"
        )
    return value.strip("/")


def _collisions(found: Mapping[str, str]) -> list[str]:
    """Two names for one file where case makes no difference, and a file where another path needs a folder."""
    mistakes = []
    first: dict[str, str] = {}
    for attribute, path in found.items():
        other = first.setdefault(_folded(path), attribute)
        if other != attribute:
            mistakes.append(f"{other!r} and {attribute!r} are one file where case or accents make no difference")
    for path, attribute in first.items():
        parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
        mistakes += [f"{first[each]!r} is a file, and {attribute!r} lies in it" for each in parents if each in first]
    return mistakes


def _folded(path: str) -> str:
    """The same for names that are one to some file system, which may hold an accent as a character of its own."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
