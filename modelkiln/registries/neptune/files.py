"""The files of a Neptune model version: up into its attributes, or into S3 and tracked there, and down again.

Beside what modelkiln.neptune.layout says, modelkiln keeps under `modelkiln/`:

    digest, kind, status, lineage/…        text
    card.md, verdict.json, contents.json   files, as modelkiln.contents has them
    files/…                                any other file that is not the model's and no golden sample
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelkiln import contents, s3
from modelkiln.contents import CARD, CONTENTS, GOLDEN, GOLDEN_FILES, MODEL, VERDICT
from modelkiln.errors import ModelkilnError
from modelkiln.files import is_inside, relative_files, to_json, write_text
from modelkiln.neptune.layout import ARTIFACTS, CARD_FILE, OWN, TEST_FILES, places
from modelkiln.neptune.layout import CARD as MODEL_CARD
from modelkiln.progress import track
from modelkiln.registries.neptune import client as neptune_client

OTHERS = f"{OWN}/files"
FILES = ("File", "Artifact")
ATTRIBUTE_OF = {
    **{path: f"{TEST_FILES}/{name}" for name, path in zip(GOLDEN, GOLDEN_FILES, strict=True)},
    **{name: f"{OWN}/{name}" for name in (CARD, VERDICT, CONTENTS)},
}
UNTRACKABLE = "*?#"  # the client takes these in an S3 path for something else


def upload(version: Any, model: Path, extras: Mapping[str, str], about: Mapping[str, str], tracked: str | None) -> None:
    """Writes all the files of a version that is being registered.

    Args:
        version: Open for writing.
        model: The model's folder.
        extras: The files beside it, {path: text}.
        about: What the model card is to say beside where things are.
        tracked: s3://BUCKET/PREFIX of this version's objects, to which the model's files go; None: they go to Neptune.
    """
    texts = {attribute_of(path): text for path, text in extras.items()}
    texts[MODEL_CARD] = _model_card(extras.get(CARD_FILE), about)
    files = {attribute_of(f"{MODEL}/{name}"): model / name for name in relative_files(model)}
    kinds = dict.fromkeys((*texts, *files), "File")
    if tracked:
        kinds |= {name: "Artifact" for name, path in files.items() if _is_trackable(name, path)}
    _remove_leftovers(version, kinds)
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        for attribute, text in texts.items():
            path = Path(scratch) / attribute
            write_text(path, text)
            version[attribute].upload(str(path))
            path.unlink()
        for attribute, path in track(files.items(), "files uploaded", len(files)):
            # A copy, since the client goes round for ever when a file becomes shorter under it.
            copy = Path(scratch) / path.name
            shutil.copyfile(path, copy)
            if kinds[attribute] == "Artifact":
                s3.store(copy, f"{tracked}/{attribute}")
                version[attribute].track_files(f"{tracked}/{attribute}")
            else:
                version[attribute].upload(str(copy))
            copy.unlink()


def download(version: Any, dest: Path, where: str, mapping: Mapping[str, str], only: Sequence[str] = ()) -> None:
    """Puts the files of a version into `dest`.

    Args:
        version: Open for reading.
        dest: An empty folder.
        where: Names the version, for errors.
        mapping: Which attribute goes where; from `own_places` or `earlier_places`.
        only: The files that are wanted; empty: all.
    """
    kinds = neptune_client.attributes(version)
    wanted = {attribute: path for attribute, path in mapping.items() if not only or path in only}
    for attribute, path in track(wanted.items(), "files fetched", len(wanted)):
        (dest / path).parent.mkdir(parents=True, exist_ok=True)
        if kinds[attribute] == "Artifact":
            location, size = neptune_client.tracked_file(version, attribute, where)
            s3.fetch(location, dest / path)
            _check_size(dest / path, size, f"{where}: {attribute!r}, from {location}")
        elif kinds[attribute] == "File":
            neptune_client.download(version, attribute, dest / path)
        elif kinds[attribute] == "String":
            write_text(dest / path, version[attribute].fetch())
        else:
            raise ModelkilnError(
                f"{where}: {attribute!r} is a {kinds[attribute]}, expected a File or an Artifact in S3"
            )


def check_sizes(version: Any, dest: Path, where: str, mapping: Mapping[str, str]) -> None:
    """Compares what was downloaded of a version that has no digest with the sizes that Neptune knows."""
    kinds = neptune_client.attributes(version)
    for attribute, path in mapping.items():
        if kinds[attribute] == "File" and (dest / path).exists():
            _check_size(dest / path, neptune_client.file_size(version, attribute), f"{where}: {attribute!r}")


def own_places(kinds: Mapping[str, str], where: str) -> dict[str, str]:
    """{attribute: path} of a version that modelkiln wrote; its model card, which only repeats, is left out."""
    found = places([name for name in kinds if name != MODEL_CARD], {}, where)
    found |= {attribute: path for path, attribute in ATTRIBUTE_OF.items() if attribute in kinds}
    others = {name: name.removeprefix(f"{OTHERS}/") for name in kinds if name.startswith(f"{OTHERS}/")}
    for attribute, path in others.items():
        if not is_inside(path) or path.split("/")[0] == MODEL:
            raise ModelkilnError(f"{where}: refused: {attribute!r} leads out of its place")
    return {**others, **found}


def earlier_places(version: Any, kinds: Mapping[str, str], where: str) -> dict[str, str]:
    """{attribute: path} of a version that another system wrote, where its card says they are."""
    card = read_json(version, kinds, MODEL_CARD, where)
    if not isinstance(card, dict | None):
        raise ModelkilnError(f"{where}: {MODEL_CARD!r} is no JSON object")
    return places(kinds, card or {}, where)


def read_json(version: Any, kinds: Mapping[str, str], attribute: str, where: str) -> Any:
    """What a JSON attribute says, be it a String, a File or an Artifact; None where there is no such attribute."""
    if attribute not in kinds:
        return None
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        download(version, Path(scratch), where, {attribute: "data.json"})
        try:
            return json.loads((Path(scratch) / "data.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelkilnError(f"{where}: {attribute!r} is no JSON: {error}") from error


def attribute_of(path: str) -> str:
    """Where a file of a version goes in Neptune."""
    if path.startswith(f"{MODEL}/"):
        return f"{ARTIFACTS}/{path.removeprefix(f'{MODEL}/')}"
    return ATTRIBUTE_OF.get(path, f"{OTHERS}/{path}")


def check_whole(folder: Path, kind: str, digest: str, extras: Mapping[str, str]) -> None:
    """Checks that a version came back as it was sent, the files beside the model included."""
    contents.verify(folder, kind, digest)
    for path, text in extras.items():
        if not (folder / path).exists() or (folder / path).read_bytes() != text.encode():
            raise ModelkilnError(f"Neptune: {path} did not come back as it was sent")


def _model_card(given: str | None, about: Mapping[str, str]) -> str:
    card = json.loads(given) if given else {}
    return to_json(
        {
            **(card if isinstance(card, dict) else {}),
            **about,
            "model_artifact_attribute_path": ARTIFACTS,
            "model_test_files": {name: f"{TEST_FILES}/{name}" for name in GOLDEN},
        }
    )


def _is_trackable(attribute: str, path: Path) -> bool:
    # An empty object is taken for a folder, and left out.
    return path.stat().st_size > 0 and not set(UNTRACKABLE) & set(attribute)


def _remove_leftovers(version: Any, kinds: Mapping[str, str]) -> None:
    """Removes what an upload that broke off left, where it would be in the way or add to the files."""
    for name, kind in neptune_client.attributes(version).items():
        file = name.startswith((f"{ARTIFACTS}/", f"{TEST_FILES}/", f"{OTHERS}/")) or name in ATTRIBUTE_OF.values()
        if file and (kinds.get(name) != kind or kind == "Artifact"):
            del version[name]


def _check_size(path: Path, expected: int | None, what: str) -> None:
    if expected is not None and path.stat().st_size != expected:
        raise ModelkilnError(f"{what}: {path.stat().st_size} bytes came, expected {expected}; try again")
