"""What tests register, and what they find there as another system's."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln import contents
from modelkiln.contents import CONTENTS, GOLDEN_FILES, TRAINED
from modelkiln.registries import Registration
from neptune_server.state import Attribute, Container, State

PROJECT = "team/models"
SECRET = "the-key-that-nobody-may-see"
FILES = {"model.safetensors": b"weights", "config.json": b"{}"}


def token(url: str) -> str:
    return base64.b64encode(json.dumps({"api_address": url, "api_url": url, "api_key": SECRET}).encode()).decode()


def trained(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Registration:
    """A registration of a model that consists of those files."""
    for name, data in (FILES if files is None else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    extras = {"card.md": "# Karte\n", **{path: f'["{path}"]\n' for path in GOLDEN_FILES}}
    listed = contents.list_contents(folder, extras, "")
    made = Registration(
        name="KEYB",
        project="modelkiln-dev",
        kind=TRAINED,
        digest=contents.digest_of(listed),
        model=folder,
        extras={**extras, CONTENTS: listed},
        tags={"git_commit": "abc"},
        card="# Karte\n",
    )
    return replace(made, **changes)


def model(state: State, key: str = "KEYB", project: str = PROJECT) -> Container:
    """The model of that key, which is made where there is none."""
    above = state.project(project)
    sys_id = f"{above.sys_id}-{key}"
    there = [each for each in state.containers.values() if (each.project, each.sys_id) == (project, sys_id)]
    return there[0] if there else state.create(above.id, "model", key)


def earlier(state: State, files: dict[str, bytes], key: str = "KEYB") -> Container:
    """A version that another system wrote: nothing but these files, {attribute: bytes}."""
    version = state.create(model(state, key).id, "modelVersion", None)
    for name, data in files.items():
        put(state, version, name, data)
    return version


def put(state: State, version: Container, name: str, data: bytes) -> None:
    path = state.new_file()
    path.write_bytes(data)
    properties = {"name": name.rsplit("/", 1)[-1], "ext": "", "size": len(data)}
    version.attributes[name] = Attribute("file", properties, path)


def read(version: Container, name: str) -> bytes:
    """The bytes of a File."""
    path = version.attributes[name].path
    assert path
    return path.read_bytes()
