"""kill -9 of real uploads at every step, and two real uploads at once: in the end exactly one complete version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from registries.mlflow_places import SMALL, Place, seen, the_only, trained
from registries.mlflow_server import Fault, Request, proxy, server

from modelkiln import ModelkilnError, registries
from modelkiln.registries import Ref, mlflow

SCRIPT = Path(__file__).parent / "mlflow_killed.py"


def start(place: Place, folder: Path, plan: dict[str, Any]) -> subprocess.Popen[str]:
    """The script, with a cache folder of its own: as if it were on another machine."""
    if not folder.exists():
        trained(place, folder, SMALL)
    written = folder.parent / f"{folder.name}-{plan.get('machine', 'plan')}.json"
    whole = {"options": astuple(place.options), "name": place.name, "model": str(folder), "fresh": False, "every": 1}
    written.write_text(json.dumps({**whole, **plan}))
    variables = {**os.environ, "MODELKILN_CACHE": str(written.with_suffix(""))}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(written)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=1500)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.heavy)])
def test_upload_that_is_killed_again_and_again_some_steps_later_each_time_is_one_version(
    every: int, embedded: Place, tmp_path: Path
) -> None:
    found = json.loads(finish(start(embedded, tmp_path / "model", {"every": every})))
    assert found["killed"] >= 15 // every
    assert not list(embedded.files.rglob(".artifact.uploading.*"))


@pytest.mark.heavy
def test_upload_that_is_killed_at_any_step_is_completed_by_the_next(place: Place, tmp_path: Path) -> None:
    found = json.loads(finish(start(place, tmp_path / "model", {"fresh": True})))
    assert found["killed"] >= 30


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.heavy)])
def test_first_upload_of_all_that_is_killed_is_completed_by_the_next(kills: int, tmp_path: Path) -> None:
    """Where there is no database yet, so that MLflow's migrations are killed too."""
    command = [sys.executable, str(SCRIPT.with_name("mlflow_first.py")), str(tmp_path), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["killed"] >= kills


@pytest.mark.heavy
def test_upload_to_a_server_that_is_killed_at_some_steps_is_completed_by_the_next(
    remote: Place, tmp_path: Path
) -> None:
    found = json.loads(finish(start(remote, tmp_path / "model", {"every": 11})))
    assert found["killed"] >= 2


@pytest.mark.heavy
def test_server_that_is_killed_in_the_middle_of_a_file_is_completed_when_it_is_back(
    mlflow_database: Path, remote: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(mlflow_database, folder / "mlflow.db")
    with server(folder) as doomed, proxy(doomed.url) as before:
        deaths: list[threading.Timer] = []

        def die(request: Request) -> Fault | None:
            if request.is_a("upload") and "safetensors" in request.path:
                if not deaths:  # it is asked again when it is gone
                    deaths.append(threading.Timer(0.1, doomed.kill))
                    deaths[0].start()
                return Fault(half_sent=True)
            return None

        before.fault = die
        place = replace(remote, options=mlflow.Options(before.url), address=before.url)
        wanted = trained(place, tmp_path / "model", SMALL)
        with pytest.raises(ModelkilnError, match="MLflow at"):
            mlflow.register(wanted, place.options)
        before.fault = lambda _: None
        deaths[0].join()
        with pytest.raises(ModelkilnError, match="MLflow at"):
            mlflow.register(wanted, place.options)
        doomed.start()
        assert seen(place) == set()
        mlflow.register(wanted, place.options)
        the_only(place, wanted)


def before_both_have_created(remote: Place, copies: int) -> Any:
    """A fault that is none: it holds each request to create a version until as many have come."""
    together = threading.Barrier(copies)
    waited: set[int] = set()

    def wait(request: Request) -> Fault | None:
        if request.is_a("create_version") and len(waited) < copies:
            waited.add(len(waited))
            together.wait(timeout=300)
        return None

    return proxy(remote.address, wait)


@pytest.mark.heavy
def test_same_artifact_from_two_machines_at_once_is_one_version(remote: Place, tmp_path: Path) -> None:
    source = replace(remote, name=f"{remote.name}-source")
    mlflow.register(trained(source, tmp_path / "source", {"w": b"source"}), source.options)
    with before_both_have_created(remote, 2) as both:
        place = replace(remote, options=mlflow.Options(both.url))
        machines = [start(place, tmp_path / "model", {"once": True, "machine": name}) for name in "ab"]
        for machine in machines:
            finish(machine)
        assert both.asked("create_version") == 2
    version = the_only(remote, trained(remote, tmp_path / "model"))
    assert mlflow.resolve(Ref("mlflow", remote.name, alias="champion"), remote.options) == version
    assert mlflow.resolve(Ref("mlflow", source.name, version="1"), remote.options).compiled == (version.ref,)
    registries.fetch_verified(version, tmp_path / "fetched", remote.options)


@pytest.mark.heavy
def test_two_artifacts_from_two_machines_at_once_are_two_versions_and_both_linked(
    remote: Place, tmp_path: Path
) -> None:
    source = replace(remote, name=f"{remote.name}-source")
    mlflow.register(trained(source, tmp_path / "source", {"w": b"source"}), source.options)
    other = trained(remote, tmp_path / "other", {"model.safetensors": b"other"})
    with before_both_have_created(remote, 2) as both:
        place = replace(remote, options=mlflow.Options(both.url))
        machines = [start(place, tmp_path / name, {"once": True}) for name in ("model", "other")]
        for machine in machines:
            finish(machine)
    assert {digest for _, digest in seen(remote)} == {other.digest, trained(remote, tmp_path / "model").digest}
    assert remote.numbers() == ["1", "2"]
    linked = mlflow.resolve(Ref("mlflow", source.name, version="1"), remote.options).compiled
    assert linked == (f"mlflow:{remote.name}/1", f"mlflow:{remote.name}/2")


def test_same_artifact_from_two_processes_at_once_is_one_embedded_version(embedded: Place, tmp_path: Path) -> None:
    source = replace(embedded, name=f"{embedded.name}-source")
    mlflow.register(trained(source, tmp_path / "source", {"w": b"source"}), source.options)
    processes = [start(embedded, tmp_path / "model", {"once": True, "machine": name}) for name in "ab"]
    for process in processes:
        finish(process)
    the_only(embedded, trained(embedded, tmp_path / "model"))
