"""The files of a version as an MLflow run has them: model/data/… for the model's own, and what is beside it above."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from modelkiln.contents import MODEL
from modelkiln.errors import ModelkilnError, raise_all
from modelkiln.files import relative_files, write_text
from modelkiln.registries.mlflow import model as mlflow_model
from modelkiln.registries.mlflow.client import UNSAFE, Options

LOGGED = "model"  # the folder that MLflow takes for the model
DATA = f"{LOGGED}/{mlflow_model.DATA}"  # and in it the model's files, beside what MLflow wants to know of them
LEFT = ".artifact.uploading."  # how MLflow names a half-written file, which a killed copy leaves beside the others


def check_names(model: Path) -> None:
    """Raises ModelkilnError where MLflow would keep a file under another name than its own, or lose it."""
    names = relative_files(model)
    mistakes = [
        f"{name!r} has characters that MLflow can't keep in a name ({' '.join(UNSAFE)}); rename it"
        for name in names
        if set(UNSAFE) & set(name)
    ]
    mistakes += [
        f"{name!r} is alone in a folder of its own name, and MLflow can't list it; rename it"
        for name in names
        if _is_alone(model, name)
    ]
    raise_all(f"{model}: not registered", mistakes)


def _is_alone(model: Path, name: str) -> bool:
    """Whether a server's list of the file's folder looks, to MLflow's client, like the list of a file."""
    held = PurePosixPath(DATA, name)
    return held.name == held.parent.name and len(list((model / name).parent.iterdir())) == 1


def amount(model: Path) -> str:
    """How much there is to upload, for people."""
    names = relative_files(model)
    return f"{len(names):,} files, {sum((model / name).stat().st_size for name in names) / 1e6:,.1f} MB"


def upload(client: Any, run_id: str, model: Path, beside: Mapping[str, str]) -> None:
    """Puts the files of `model`, and beside them {path: text}, into a run; what it has is overwritten."""
    for name in relative_files(model):
        client.log_artifact(run_id, str(model / name), str(PurePosixPath(DATA, name).parent))
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        for name, text in beside.items():
            write_text(Path(scratch) / name, text)
        client.log_artifacts(run_id, scratch)
    _clear(client, run_id)


def download(client: Any, run_id: str, dest: Path, only: Sequence[str] = ()) -> None:
    """Puts a run's files into `dest`, laid out as modelkiln.contents says."""
    # Inside `dest`: on the same file system, and gone with it when we are killed.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=dest) as scratch:
        if only:
            held = _held(client, run_id)
            for name in only:
                if _place(name) in held:
                    _move(Path(client.download_artifacts(run_id, _place(name), scratch)), dest / name)
            return
        client.download_artifacts(run_id, "", scratch)
        for name in relative_files(Path(scratch)):
            inside = name.removeprefix(f"{DATA}/")
            if inside != name:
                _move(Path(scratch) / name, dest / MODEL / inside)
            elif not name.startswith(f"{LOGGED}/"):  # there it is MLflow's description of the model
                _move(Path(scratch) / name, dest / name)


def require_place(client: Any, run_id: str, options: Options) -> None:
    """Sees to it that a run's files lie where the configured server has them, whatever that server says.

    Raises:
        ModelkilnError: they lie on another host, to which our credentials would go; or in a folder, while the server
            may be another machine, where nobody else would find them.
    """
    address = client.get_run(run_id).info.artifact_uri
    place, server = urlsplit(address), urlsplit(client.tracking_uri)
    if place.scheme in ("http", "https", "mlflow-artifacts"):
        ours = (server.hostname, server.port or {"https": 443}.get(server.scheme, 80))
        port = place.port or ({"http": 80, "https": 443}.get(place.scheme) or ours[1])
        if place.hostname and (place.hostname, port) != ours:
            raise ModelkilnError(
                f"refused: the server keeps the files at {address}, which is another host than its own "
                f"({server.hostname}): credentials are for that one; set its artifact root right"
            )
    elif place.scheme in ("", "file") and server.scheme in ("http", "https"):
        folder = Path(local_path(address))
        shared = options.artifact_root and folder.is_relative_to(Path(options.artifact_root).resolve())
        if not shared:
            raise ModelkilnError(
                f"refused: the server has the files of a version in the folder {folder}, and on this machine that is "
                "another folder than on the server's: start it with --serve-artifacts, or with a root such as s3://…; "
                "if all machines share that folder, say so: upload.options.artifact_root"
            )


def local_path(address: str) -> str:
    """The folder that an address without a host stands for."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    return str(local_file_uri_to_path(address))


def _move(path: Path, dest: Path) -> None:
    dest.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, dest)


def _clear(client: Any, run_id: str) -> None:
    """Deletes what killed copies left in a folder of this machine: MLflow lists it nowhere, but loads it as a part."""
    address = client.get_run(run_id).info.artifact_uri
    if urlsplit(address).scheme in ("", "file"):
        for path in Path(local_path(address)).rglob(f"{LEFT}*"):
            path.unlink()


def _place(name: str) -> str:
    """Where a run has the file that modelkiln.contents calls `name`."""
    return f"{DATA}/{name.removeprefix(f'{MODEL}/')}" if name.startswith(f"{MODEL}/") else name


def _held(client: Any, run_id: str) -> set[str]:
    """The paths of a run's files."""
    found: set[str] = set()
    folders = [""]
    while folders:
        for entry in client.list_artifacts(run_id, folders.pop()):
            folders += [entry.path] if entry.is_dir else []
            found |= set() if entry.is_dir else {entry.path}
    return found
