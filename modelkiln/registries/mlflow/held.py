"""What a registry really holds of a version: a database may name what a disk, or `mlflow gc`, has lost."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelkiln import contents
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.progress import say, step
from modelkiln.registries import Registration
from modelkiln.registries.mlflow import files as mlflow_files

# How a server says that there is no such file.
GONE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE", "INTERNAL_ERROR")


def with_runs(client: Any, found: Sequence[Any]) -> list[Any]:
    """Those versions whose run, which has their files, is there: `mlflow gc` deletes runs for good.

    Of the others no reader sees any more of than before: they are no longer complete.
    """
    from mlflow.exceptions import MlflowException

    there = []
    for version in found:
        try:
            is_there = client.get_run(version.run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            is_there = False
        if is_there:
            there.append(version)
        elif version.tags.get("complete") == "true":
            client.set_model_version_tag(version.name, version.version, "complete", "false")
    return there


def holds(client: Any, version: Any, registration: Registration) -> bool:
    """Whether a version that is complete still has all its files: a server's disk may have lost some."""
    from mlflow.exceptions import MlflowException

    with step("verifying what the registry holds"), tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        try:
            mlflow_files.download(client, version.run_id, Path(scratch))
            contents.verify(Path(scratch), registration.kind, registration.digest)
        except (MlflowException, ModelkilnError, OSError) as error:
            if isinstance(error, MlflowException) and error.error_code not in GONE:
                raise
            lost = f"mlflow:{version.name}/{version.version} has lost files"
            say(f"{lost} ({one_line(error)}); putting them there again")
            return False
        return all((Path(scratch) / name).exists() for name in registration.extras)


def verify(folder: Path, registration: Registration) -> None:
    """Raises ModelkilnError unless the folder, as fetched, is what was to be registered."""
    contents.verify(folder, registration.kind, registration.digest)
    for name, text in registration.extras.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != text.encode():
            raise ModelkilnError(f"{folder}: {name} is not what was uploaded; run it again")
