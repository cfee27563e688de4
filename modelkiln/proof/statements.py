"""Faults in what an artifact says of itself, and in what lies beside its graph; none of them alters a vector."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln import backends
from modelkiln.artifact import SBOM, Manifest, seal
from modelkiln.files import read_json, to_json, write_text
from modelkiln.machine import Machine, this_machine
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good, copy_good, sealed, with_envelope
from modelkiln.tasks.keywords import STOP_WORDS

VERSION = "0.0.1"
CONTENT_WORD = "parliament"  # no language's stop word
GERMAN = ["aber", "auch", "das", "der", "die", "ein", "eine", "ist", "nicht", "und", "von", "zu"]


def _said(alter: Callable[[Manifest], Manifest]) -> Callable[[Good, Path], None]:
    """Makes the good artifact with another manifest."""

    def make(good: Good, folder: Path) -> None:
        copy_good(good, folder)
        seal(folder, alter(good.manifest))

    return make


def _other_options(manifest: Manifest) -> Manifest:
    """A whole number larger by one; true for false."""
    for name, value in manifest.options.items():
        if isinstance(value, int):
            other = not value if isinstance(value, bool) else value + 1
            return replace(manifest, options={**manifest.options, name: other})
    raise DoesNotApplyError("the backend has no such options")


def _other_precision(manifest: Manifest) -> Manifest:
    others = [each for each in backends.load(manifest.backend).PRECISIONS if each != manifest.precision]
    if not others:
        raise DoesNotApplyError("the backend has only one precision")
    return replace(manifest, precision=others[0])


def _other_toolchain(manifest: Manifest) -> Manifest:
    return replace(manifest, toolchain={**manifest.toolchain, "torch": VERSION})


def _other_machine(manifest: Manifest) -> Manifest:
    """None is asked for where one is needed, and this kind of machine where any will do."""
    here = this_machine()
    claimed = None if manifest.machine else Machine(here.system, here.architecture, ())
    return replace(manifest, machine=claimed)


def _listed(alter: Callable[[list[dict[str, Any]]], None]) -> Callable[[Good, Path], None]:
    """Makes the good artifact with another list of what serving takes; of the libraries, modelkiln left aside."""

    def rewrite(good: Good, folder: Path) -> None:  # noqa: ARG001 (as the others)
        path = folder / SBOM
        if not path.exists():
            raise DoesNotApplyError("the artifact has no sbom.json")
        data = read_json(path, "the bill of materials")
        alter(data["components"])
        write_text(path, to_json(data))

    return sealed(rewrite)


def _library(components: list[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in components if each["name"] == "tokenizers")


def _other_version(components: list[dict[str, Any]]) -> None:
    library = _library(components)
    library.update(version=VERSION, purl=f"pkg:pypi/{library['name']}@{VERSION}")


def _unlisted(components: list[dict[str, Any]]) -> None:
    components.remove(_library(components))


def _stop_words(alter: Callable[[dict[str, list[str]]], None]) -> Callable[[Good, Path], None]:
    def rewrite(good: Good, folder: Path) -> None:
        path = folder / "task" / STOP_WORDS
        if not path.exists():
            raise DoesNotApplyError(f"the task {good.manifest.task} has no stop words")
        said = read_json(path, "the stop words")
        alter(said)
        write_text(path, json.dumps(said, indent=0) + "\n")

    return sealed(rewrite)


def _lose_the_longest(said: dict[str, list[str]]) -> None:
    said["english"].remove(max(said["english"], key=len))


def _add_a_word(said: dict[str, list[str]]) -> None:
    said["english"] = sorted([*said["english"], CONTENT_WORD])


def _add_a_language(said: dict[str, list[str]]) -> None:
    said["german"] = GERMAN


def _add_notes(good: Good, folder: Path) -> None:  # noqa: ARG001
    write_text(folder / "notes.txt", "compiled by hand\n")


def _weights(good: Good) -> Path:
    found = sorted(good.source.rglob("*.safetensors"))
    if not found:
        raise DoesNotApplyError("the source has no safetensors")
    return found[0]


def _add_a_matrix(good: Good, folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file

    np.save(folder / "task" / "data.npy", max(load_file(_weights(good)).values(), key=np.size))


def _add_a_zip(good: Good, folder: Path) -> None:
    with zipfile.ZipFile(folder / "task" / "data.zip", "w") as packed:
        packed.write(_weights(good), "data")


ARTIFACT = ("artifact",)
RESOURCES = ("resources",)
FAULTS = (
    Fault(
        "other-pad-id",
        "the manifest says another padding id",
        ARTIFACT,
        _said(lambda it: replace(it, pad_id=it.pad_id + 1)),
    ),
    Fault(
        "other-batch",
        "the manifest says a tenth of the texts in a call",
        ARTIFACT,
        _said(lambda it: with_envelope(it, max_batch=next(iter(it.encoders.values())).max_batch // 10 + 1)),
    ),
    Fault("other-options", "the manifest says another option of the backend", ARTIFACT, _said(_other_options)),
    Fault("other-precision", "the manifest says another precision", ARTIFACT, _said(_other_precision)),
    Fault("other-toolchain", "the manifest says another version of torch", ARTIFACT, _said(_other_toolchain)),
    Fault(
        "other-machine", "the manifest asks for another machine than the graph needs", ARTIFACT, _said(_other_machine)
    ),
    Fault("sbom-version", "sbom.json lists another version of a library", ARTIFACT, _listed(_other_version)),
    Fault("sbom-incomplete", "sbom.json lacks a library", ARTIFACT, _listed(_unlisted)),
    Fault("stop-word-missing", "one stop word missing", RESOURCES, _stop_words(_lose_the_longest)),
    Fault("stop-word-added", "one stop word more, which is none", RESOURCES, _stop_words(_add_a_word)),
    Fault(
        "language-added",
        "a language more that has stop words, which the reference does not know",
        RESOURCES,
        _stop_words(_add_a_language),
    ),
    Fault("stray-file", "a file that nothing loads, sealed", ARTIFACT, sealed(_add_notes)),
    Fault("weights-as-npy", "a matrix of the original weights as .npy, sealed", ARTIFACT, sealed(_add_a_matrix)),
    Fault("weights-zipped", "the original weights in a zip, sealed", ARTIFACT, sealed(_add_a_zip)),
)
