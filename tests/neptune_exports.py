"""Writes exports as neptune-exporter 2.x does: files, lists of tracked files, and parquet files that say it is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = "ws/keywords"
# The digest is part of what is to be held: the project above has this folder in an export.
PROJECT_FOLDER = "ws_keywords-2fe2fa72102ee9a9"
ARTIFACTS = "model/model_artifacts"
CARD = {
    "model_type": "trained",
    "model_artifact_attribute_path": ARTIFACTS,
    "model_test_files": {name: f"model/test_files/{name}" for name in ("inputs", "inference_params", "predictions")},
}
GOLDEN = {
    "inputs": ["The tram line opens."],
    "inference_params": {"top_n": 2},
    "predictions": [[["tram", 0.5], ["line", 0.4]]],
}


@dataclass(frozen=True)
class Export:
    """An export that is being written."""

    folder: Path
    project: str = PROJECT_FOLDER

    def version(self, identity: str) -> Path:
        return self.folder / "model_files" / self.project / "model_versions" / identity

    def file(self, identity: str, attribute: str, data: bytes | str | list[Any] | dict[str, Any]) -> Path:
        """An attribute of the type File."""
        path = self.version(identity) / attribute
        path.parent.mkdir(parents=True, exist_ok=True)
        text = data if isinstance(data, bytes | str) else json.dumps(data)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def artifact(self, identity: str, attribute: str, entries: list[dict[str, Any]]) -> Path:
        """An attribute of the type Artifact."""
        return self.file(identity, f"{attribute}/files_list.json", entries)

    def trained(self, identity: str, files: dict[str, bytes] | Path, card: dict[str, Any] | None = None) -> None:
        """A version with a card, golden samples and the files of a model."""
        self.file(identity, "model/model_card", CARD if card is None else card)
        for name, data in GOLDEN.items():
            self.file(identity, f"model/test_files/{name}", data)
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()
            }
        for name, content in files.items():
            self.file(identity, f"{ARTIFACTS}/{name}", content)

    def compiled(self, source: str, *compiled: str, project: str = PROJECT) -> None:
        """Says that versions were compiled from another."""
        entries = [
            {"project": project, "model": name.rpartition("-")[0], "with_id": name, "time_stamp": "2023-05-01 10:00:0"}
            for name in compiled
        ]
        self.file(source, "model/compiled_model_versions", entries)

    def parquet(self, identity: str, stage: str) -> Path:
        """What the exporter writes when a version is done."""
        import pyarrow
        from pyarrow import parquet

        name = f"{identity}-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}_part_0.parquet"
        path = self.folder / "model_data" / self.project / "model_versions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [("sys/id", identity), ("sys/stage", stage), ("model/note", "x")]
        columns = {
            "project_id": [PROJECT] * len(rows),
            "run_id": [identity] * len(rows),
            "attribute_path": [attribute for attribute, _ in rows],
            "attribute_type": ["string"] * len(rows),
            "string_value": [value for _, value in rows],
        }
        parquet.write_table(pyarrow.table(columns), path)
        return path


def entry(location: str, data: bytes, name: str | None = None, **changes: Any) -> dict[str, Any]:
    """An entry of files_list.json, for an object that was uploaded in one piece."""
    return {
        "filePath": name or location.rpartition("/")[2],
        "fileHash": hashlib.md5(data).hexdigest(),
        "type": "S3",
        "size": len(data),
        "metadata": [{"key": "last_modified", "value": "2023-05-01 10:00:00"}, {"key": "location", "value": location}],
        **changes,
    }
