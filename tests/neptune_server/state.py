"""What the server holds: projects, models and their versions with attributes, artifacts. Files' bytes lie on disk."""

from __future__ import annotations

import itertools
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Refused(Exception):  # noqa: N818
    """An answer that is an error."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)


NOT_FOUND = {"errorType": "EXPERIMENT_NOT_FOUND", "title": "not found"}


@dataclass
class Attribute:
    """`properties` is what the protocol calls <type>Properties; a file has its bytes at `path`."""

    type: str
    properties: dict[str, Any]
    path: Path | None = None


@dataclass
class Container:
    """A project, a model or a model version."""

    id: str
    sys_id: str
    type: str
    project: str  # WORKSPACE/PROJECT
    trashed: bool = False
    children: int = 0
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def set(self, name: str, kind: str, value: Any) -> None:
        self.attributes[name] = Attribute(kind, {"value": value})

    def value(self, name: str) -> Any:
        return self.attributes[name].properties.get("value") if name in self.attributes else None

    def trash(self) -> None:
        self.trashed = True
        self.set("sys/trashed", "bool", True)


class State:
    """All of it. Whoever changes it holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.containers: dict[str, Container] = {}
        self.artifacts: dict[str, list[dict[str, Any]]] = {}
        self.uploads: dict[str, tuple[str, str, str, int, Path]] = {}
        self._numbers = itertools.count(1)

    def add_project(self, name: str, key: str) -> Container:
        return self._add(key, "project", name)

    def projects(self) -> list[Container]:
        return [each for each in self.containers.values() if each.type == "project"]

    def find(self, identifier: str) -> Container:
        """By uuid, or as WORKSPACE/PROJECT/ID."""
        if identifier in self.containers:
            return self.containers[identifier]
        for each in self.containers.values():
            if identifier == (each.project if each.type == "project" else f"{each.project}/{each.sys_id}"):
                return each
        raise Refused(404, NOT_FOUND)

    def project(self, identifier: str) -> Container:
        found = [each for each in self.projects() if identifier in (each.id, each.project)]
        if not found:
            raise Refused(404, {"errorType": "PROJECT_NOT_FOUND"})
        return found[0]

    def create(self, parent: str, kind: str, key: str | None) -> Container:
        """A new model of a project, or a new version of a model."""
        above = self.find(parent)
        if kind == "model":
            sys_id = f"{above.sys_id}-{key}"
            if not key or key != key.upper():
                raise Refused(400, {"title": f"model key {key!r} is not uppercase"})
            if any((each.project, each.sys_id) == (above.project, sys_id) for each in self.containers.values()):
                raise Refused(409)
            return self._add(sys_id, kind, above.project)
        above.children += 1  # a number is never used again
        made = self._add(f"{above.sys_id}-{above.children}", kind, above.project)
        made.set("sys/model_id", "string", above.sys_id)
        made.set("sys/stage", "string", "none")
        return made

    def versions(self, model: str, project: str) -> list[Container]:
        """Those of a model, by its id as PROJ-KEY."""
        return [
            each for each in self.containers.values() if each.project == project and each.value("sys/model_id") == model
        ]

    def new_file(self) -> Path:
        return self.folder / f"{next(self._numbers)}.bin"

    def store(self, container: str, attribute: str, ext: str, path: Path) -> None:
        """Makes the bytes at `path` the file at an attribute."""
        name = attribute.rsplit("/", 1)[-1]
        properties = {"name": name, "ext": ext, "size": path.stat().st_size}
        self._assign(self.find(container), attribute, Attribute("file", properties, path))

    def assign(self, container: Container, attribute: str, kind: str, properties: dict[str, Any]) -> None:
        self._assign(container, attribute, Attribute(kind, properties))

    def _assign(self, container: Container, name: str, attribute: Attribute) -> None:
        before = container.attributes.get(name)
        if before and before.type != attribute.type:
            raise ValueError(f"{name} is a {before.type}, not a {attribute.type}")
        container.attributes[name] = attribute

    def _add(self, sys_id: str, kind: str, project: str) -> Container:
        made = Container(str(uuid.uuid4()), sys_id, kind, project)
        made.set("sys/id", "string", sys_id)
        made.set("sys/name", "string", "")
        made.set("sys/trashed", "bool", False)
        made.set("sys/creation_time", "datetime", "2026-03-01T12:00:00.000Z")
        self.containers[made.id] = made
        return made
