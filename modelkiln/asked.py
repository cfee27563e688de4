"""What an artifact was asked for: its manifest, its list of what serving needs and its table are held to it.

The validate stage writes it down from params.yaml and toolchain.yaml for the checks, whose interpreter may lack what
reads those, and leaves it in evidence/asked.json. A recording (recording.py) carries it to other machines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modelkiln import interpreter, plugins, sbom, schema
from modelkiln.artifact import SBOM, Manifest
from modelkiln.errors import raise_all
from modelkiln.files import read_json
from modelkiln.params import Compile, Envelope, options
from modelkiln.vocabulary import own_words, read_words

ASKED = "asked.json"


@dataclass(frozen=True)
class Asked:
    """What compile was told, and what follows from it."""

    compile: Compile  # params.yaml's section
    toolchain: dict[str, str]  # the versions that were to compile it
    words: list[str]  # the user's own, which the table has beside the tokenizer's
    sbom: str  # what sbom.json has to say


def ask(section: Compile, toolchain: dict[str, str], source: Mapping[str, Any]) -> Asked:
    """What these params ask for, in the environment that judges, which is the one that serves.

    Args:
        section: The compile section.
        toolchain: The versions that toolchain.yaml has for it.
        source: The source's revision.json.

    Raises:
        ModelkilnError: the words can't be read, or there is no telling what the interpreter has.
    """
    backend = plugins.load("backends", section.backend)
    about = {"backend": section.backend, "precision": section.precision, "task": section.task}
    serving = interpreter.closure(section.python, sbom.roots(backend.RUNTIME))
    listed = sbom.render(source["model"], source["revision"], about, toolchain["python"], serving)
    return Asked(section, toolchain, own_words(Path(section.words)) if section.words else [], listed)


def as_if_asked(folder: Path, manifest: Manifest) -> Asked:
    """What a good artifact was asked for, as it says itself: for artifacts that are held to it."""
    encoders = {name: Envelope(spec.max_length) for name, spec in manifest.encoders.items()}
    section = Compile(
        manifest.task,
        encoders,
        manifest.backend,
        manifest.precision,
        max(spec.max_batch for spec in manifest.encoders.values()),
        next((name for name, spec in manifest.encoders.items() if spec.vocabulary), None),
        options=manifest.options,
    )
    words = [
        word for spec in manifest.encoders.values() if spec.vocabulary for word in read_words(folder / spec.vocabulary)
    ]
    return Asked(section, manifest.toolchain, words, (folder / SBOM).read_text(encoding="utf-8"))


def without_table(asked: Asked) -> Asked:
    """The same, but for a compiled vocabulary."""
    return replace(asked, compile=replace(asked.compile, vocabulary=None))


def read(path: Path) -> Asked:
    """What a file of validate's says.

    Raises:
        ModelkilnError: there is none, or it is damaged.
    """
    mistakes: list[str] = []
    parsed = schema.parse(Asked, read_json(path, "what was asked for"), "", mistakes)
    raise_all(f"{path}: what was asked for is damaged", mistakes)
    assert isinstance(parsed, Asked)  # noqa: S101 (raise_all has raised otherwise)
    return parsed


def differences(manifest: Manifest, section: Compile, toolchain: Mapping[str, str] | None = None) -> list[str]:
    """Each thing in which an artifact is not what was asked for, a line each.

    Args:
        manifest: The artifact's.
        section: The compile section.
        toolchain: The versions that were to compile it; None: they are not compared.
    """
    options_asked = asdict(options("backends", section.backend, section.options, "compile.options"))
    pairs: dict[str, tuple[Any, Any]] = {
        "task": (manifest.task, section.task),
        "backend": (manifest.backend, section.backend),
        "precision": (manifest.precision, section.precision),
        "options": (manifest.options, json.loads(json.dumps(options_asked))),
        "machine": (manifest.machine, plugins.load("backends", section.backend).MACHINE),
        "encoders": (sorted(manifest.encoders), sorted(section.encoders)),
        "vocabulary": (
            [name for name, encoder in manifest.encoders.items() if encoder.vocabulary] or None,
            [section.vocabulary] if section.vocabulary else None,
        ),
    }
    if toolchain is not None:
        pairs["toolchain"] = (manifest.toolchain, dict(toolchain))
    for name, encoder in manifest.encoders.items():
        wanted = section.encoders.get(name)
        pairs[f"encoders.{name}.max_length"] = (encoder.max_length, wanted and wanted.max_length)
        pairs[f"max_batch of encoder {name}"] = (encoder.max_batch, section.max_batch)
    return [f"{what} is {found!r}, expected {wanted!r}" for what, (found, wanted) in pairs.items() if found != wanted]
