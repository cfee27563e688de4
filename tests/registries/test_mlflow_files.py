"""Files of any name, size and number; a disk that is full; a file that changes while it is uploaded."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from registries.mlflow_places import SMALL, Place, seen, the_only, trained

from modelkiln import ModelkilnError, registries
from modelkiln.files import relative_files
from modelkiln.registries import mlflow
from modelkiln.registries.mlflow import files as mlflow_files

GIGABYTE = 1_000_000_000
# Registers what a folder holds, fetches it, and prints the most memory that it took, in MB, before and after.
MEASURED = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from registries.mlflow_places import Place, trained
from modelkiln import registries
from modelkiln.registries import mlflow
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
options, name, model = json.loads(sys.argv[2])
place = Place(mlflow.Options(*options), name, options[0], Path())
mlflow.register(trained(place, Path(model) / "small", {"w": b"small"}), place.options)
before = peak()
version = mlflow.register(trained(place, Path(model) / "model"), place.options)
registered = peak()
registries.fetch_verified(version, Path(model) / "fetched", place.options)
print(json.dumps([before, registered, peak()]))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_names_and_sizes_of_all_kinds_come_back(place: Place, tmp_path: Path) -> None:
    files = {
        "empty.bin": b"",
        "ein Ordner/größe-Ω-模型.json": "ß".encode(),
        "ein Ordner/leer/ü": b"",
        ".hidden": b"1",
        "a+b&c=d,e;f@g!h'i(j).txt": b"2",
        "x" * 200: b"3",
        "1_Pooling/model": b"4",
        "data/data/data": b"5",
        "data/data/other": b"6",
    }
    wanted = trained(place, tmp_path / "model", files)
    registries.fetch_verified(mlflow.register(wanted, place.options), tmp_path / "fetched", place.options)
    assert {name: (tmp_path / "fetched" / "model" / name).read_bytes() for name in files} == files
    the_only(place, wanted)


@pytest.mark.parametrize("name", ["weights/weights", "a/a/a", "data"])
def test_name_that_a_server_would_lose_is_refused_before_anything_is_there(
    name: str, place: Place, tmp_path: Path
) -> None:
    """MLflow's client takes a folder with one file of the folder's name for that file."""
    wanted = trained(place, tmp_path / "model", {name: b"1"})
    with pytest.raises(ModelkilnError, match="alone in a folder of its own name"):
        mlflow.register(wanted, place.options)
    assert seen(place) == set()


@pytest.mark.parametrize("name", ["50%25.bin", "a#b.bin", "a?b.bin"])
def test_name_that_a_server_can_not_keep_is_refused_before_anything_is_there(
    name: str, place: Place, tmp_path: Path
) -> None:
    """MLflow's client puts names into addresses as they are."""
    wanted = trained(place, tmp_path / "model", {name: b"1"})
    with pytest.raises(ModelkilnError, match=r"characters that MLflow can't keep .*; rename"):
        mlflow.register(wanted, place.options)
    assert seen(place) == set()
    assert place.numbers() == []


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.heavy)])
def test_many_files_come_back(count: int, embedded: Place, tmp_path: Path) -> None:
    many_files(count, embedded, tmp_path)


@pytest.mark.heavy
def test_many_files_come_back_from_a_server(remote: Place, tmp_path: Path) -> None:
    many_files(5000, remote, tmp_path)


def many_files(count: int, place: Place, tmp_path: Path) -> None:
    files = {f"{n % 17}/{n}.bin": str(n).encode() for n in range(count)}
    began = time.monotonic()
    wanted = trained(place, tmp_path / "model", files)
    version = mlflow.register(wanted, place.options)
    registered = time.monotonic()
    registries.fetch_verified(version, tmp_path / "fetched", place.options)
    fetched = time.monotonic()
    assert len(relative_files(tmp_path / "fetched" / "model")) == count
    print(f"{count} files: registered in {registered - began:.1f} s, fetched in {fetched - registered:.1f} s")


@pytest.mark.heavy
def test_gigabyte_needs_no_more_memory_than_a_few_bytes(place: Place, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights.bin").open("wb") as file:
        for _ in range(GIGABYTE // 10_000_000):
            file.write(os.urandom(10_000_000))
    arguments = json.dumps([astuple(place.options), place.name, str(tmp_path)])
    command = [sys.executable, "-c", MEASURED, str(Path(__file__).parents[1]), arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    before, registered, fetched = json.loads(done.stdout)
    print(f"peak RSS: {before:.0f} MB before, {registered:.0f} MB registered, {fetched:.0f} MB fetched")
    assert fetched - before < 100
    assert (tmp_path / "fetched" / "model" / "weights.bin").stat().st_size == GIGABYTE


def test_file_that_changes_while_it_is_uploaded_is_never_complete(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mlflow_files.upload

    def late(client: Any, run_id: str, model: Path, beside: dict[str, str]) -> None:
        (model / "tokenizer.json").write_text("changed")  # after its digest was taken
        whole(client, run_id, model, beside)

    wanted = trained(place, tmp_path / "model", SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_files, "upload", late)
        with pytest.raises(ModelkilnError, match=r"tokenizer\.json was altered"):
            mlflow.register(wanted, place.options)
    assert seen(place) == set()
    (tmp_path / "model" / "tokenizer.json").write_bytes(SMALL["tokenizer.json"])
    mlflow.register(wanted, place.options)
    the_only(place, wanted)


def test_file_that_vanishes_while_it_is_uploaded_is_one_line(place: Place, tmp_path: Path) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(ModelkilnError, match=r"tokenizer\.json is missing") as raised:
        mlflow.register(wanted, place.options)
    assert "\n" not in str(raised.value)
    assert seen(place) == set()


def test_full_disk_while_fetching_leaves_nothing_and_says_so(place: Place, small_disk: Path, tmp_path: Path) -> None:
    version = mlflow.register(trained(place, tmp_path / "model", {"w": os.urandom(4_000_000)}), place.options)
    with pytest.raises(ModelkilnError, match=r"No space left on device.*make room") as raised:
        registries.fetch_verified(version, small_disk / "cache" / "fetched", place.options)
    assert "\n" not in str(raised.value)
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
    registries.fetch_verified(version, tmp_path / "fetched", place.options)


def test_full_disk_while_registering_is_completed_when_there_is_room(
    embedded: Place, small_disk: Path, tmp_path: Path
) -> None:
    full = replace(embedded, options=replace(embedded.options, artifact_root=str(small_disk / "files")))
    (small_disk / "filler").write_bytes(bytes(1_500_000))
    wanted = trained(full, tmp_path / "model", {"w": os.urandom(1_000_000)})
    with pytest.raises(ModelkilnError, match=r"No space left on device.*make room") as raised:
        mlflow.register(wanted, full.options)
    assert "\n" not in str(raised.value)
    assert seen(full) == set()
    (small_disk / "filler").unlink()
    mlflow.register(wanted, full.options)
    the_only(full, wanted)


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_full_disk_of_the_database_is_one_line(embedded: Place, small_disk: Path, tmp_path: Path) -> None:
    shutil.copy("registry/mlflow.db", small_disk / "mlflow.db")
    place = replace(embedded, options=replace(embedded.options, tracking_uri=f"sqlite:///{small_disk}/mlflow.db"))
    filler = small_disk / "filler"
    fill(filler)
    wanted = trained(place, tmp_path / "model", SMALL)
    with pytest.raises(ModelkilnError, match="make room") as raised:
        mlflow.register(wanted, place.options)
    assert "\n" not in str(raised.value)
    filler.unlink()
    mlflow.register(wanted, place.options)
    the_only(replace(place, address=f"sqlite:///{small_disk}/mlflow.db"), wanted)


def test_version_whose_files_were_lost_gets_them_again(place: Place, tmp_path: Path) -> None:
    """`Registered` means that the files are there, and not that the database says so."""
    wanted = trained(place, tmp_path / "model", SMALL)
    version = mlflow.register(wanted, place.options)
    for name in ("model.safetensors", "card.md"):
        place.held(name).unlink()
        assert mlflow.register(wanted, place.options).version == version.version
        the_only(place, wanted)
    place.held("model.safetensors").write_bytes(b"other")
    assert mlflow.register(wanted, place.options).version == version.version
    the_only(place, wanted)


def test_version_whose_run_was_deleted_is_registered_anew(place: Place, tmp_path: Path) -> None:
    wanted = trained(place, tmp_path / "model", SMALL)
    mlflow.register(wanted, place.options)
    run_id = place.client().get_model_version(place.name, "1").run_id
    place.client().delete_run(run_id)  # `mlflow gc` takes it away for good
    assert mlflow.register(wanted, place.options).version == "2"
    assert {number for number, _ in seen(place)} == {"2"}


@pytest.mark.parametrize("root", ["mlflow-artifacts://files.example:1/x", "http://files.example/api/2.0/x"])
def test_server_that_names_another_host_gets_no_credentials_sent_there(
    root: str, remote: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connect = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **how: (asked.append(host), connect(host, *more, **how))[1]
    )
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cr3t-t0k3n")
    experiment = remote.client().create_experiment(remote.name)
    with sqlite3.connect(remote.files.parent / "mlflow.db", timeout=60) as database:  # MLflow's own server refuses it
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (root, experiment))
    database.close()
    with pytest.raises(ModelkilnError, match=r"refused: the server keeps the files at .*, which is another host"):
        mlflow.register(trained(remote, tmp_path / "model", SMALL), remote.options)
    assert "files.example" not in asked
    assert seen(remote) == set()


def test_server_whose_files_lie_in_a_folder_of_this_machine_is_refused(remote: Place, tmp_path: Path) -> None:
    """mlflow#14561: the files would lie on the disk of who uploads, where nobody else finds them."""
    folder = tmp_path / "root"
    remote.client().create_experiment(remote.name, artifact_location=folder.as_uri())
    wanted = trained(remote, tmp_path / "model", SMALL)
    with pytest.raises(ModelkilnError, match=r"refused: the server has the files of a version in the folder .*/root"):
        mlflow.register(wanted, remote.options)
    assert not folder.exists()
    assert seen(remote) == set()
    shared = replace(remote, options=replace(remote.options, artifact_root=str(folder)), files=folder)
    mlflow.register(wanted, shared.options)
    the_only(shared, wanted)
