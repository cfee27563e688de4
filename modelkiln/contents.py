"""What a version in a registry holds, laid out as `Registry.fetch` leaves it.

    model/…                 the files of the model: an artifact, or an uncompiled model
    card.md                 for people
    golden/inputs.json, golden/inference_params.json, golden/predictions.json
    verdict.json            of an artifact: the judgement on it
    model.sig, verdict.sig  of an artifact, where upload and validate had a key: the signatures (signing.py)
    contents.json           of everything else: size and sha256 of each file above, and where the model came from

An artifact vouches for itself by its manifest. For a model that is none, contents.json does, and its own sha256 is the
digest that the registry knows the version by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from modelkiln import artifact
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import is_inside, read_json, relative_files, sha256, to_json

COMPILED = "compiled"  # an artifact of modelkiln
TRAINED = "trained"  # an uncompiled model, with its golden samples
LEGACY = "legacy"  # compiled by an earlier system, and carried over as it was: nothing here loads it
KINDS = (COMPILED, TRAINED, LEGACY)

MODEL = "model"
CARD = "card.md"
VERDICT = "verdict.json"
SIGNATURE = f"{MODEL}.sig"
VERDICT_SIGNATURE = "verdict.sig"
CONTENTS = "contents.json"
GOLDEN = ("inputs", "inference_params", "predictions")
GOLDEN_FILES = tuple(f"golden/{name}.json" for name in GOLDEN)


def list_contents(model: Path, extras: Mapping[str, str], origin: str) -> str:
    """The text of contents.json.

    Args:
        model: The model's folder.
        extras: The files beside it, {path: text}.
        origin: Where the model came from, so that equal files of another origin are another version; may be empty.
    """
    listed = {f"{MODEL}/{name}": _entry(model / name) for name in relative_files(model)}
    for name, text in extras.items():
        data = text.encode()
        listed[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return to_json({"files": listed, "origin": origin})


def digest_of(contents: str) -> str:
    """The digest of a version whose contents.json has that text."""
    return hashlib.sha256(contents.encode()).hexdigest()


def verify(folder: Path, kind: str, digest: str) -> None:
    """Checks that a fetched version is the one of that digest, byte for byte; none of it is loaded.

    Raises:
        ModelkilnError: a file is missing, altered or was added; says which.
    """
    if kind == COMPILED:
        artifact.verify(folder / MODEL, digest)
        return
    path = folder / CONTENTS
    data = read_json(path, "the list of contents")
    if sha256(path) != digest:
        raise ModelkilnError(f"{path}: has sha256 {sha256(path)}, expected {digest}; it was altered after registration")
    listed = data.get("files") if isinstance(data, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise ModelkilnError(f"{path}: the list of contents is damaged: expected the size and sha256 of each file")
    raise_all(f"{path}: refused", [f"{name!r} points outside the folder" for name in listed if not is_inside(name)])
    found = {name for name in relative_files(folder) if name != CONTENTS}
    mistakes = [f"{name} is missing" for name in sorted(set(listed) - found)]
    mistakes += [f"{name} is not listed" for name in sorted(found - set(listed))]
    mistakes += [f"{name} was altered" for name in sorted(found & set(listed)) if _entry(folder / name) != listed[name]]
    raise_all(f"{folder}: not what was registered", mistakes)


def _entry(path: Path) -> dict[str, str | int]:
    return {"size": path.stat().st_size, "sha256": sha256(path)}
