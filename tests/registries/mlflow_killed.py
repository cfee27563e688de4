"""Uploads that are killed at every step, in children of this process: run as a script, which imports MLflow once.

python tests/registries/mlflow_killed.py PLAN.json, where the plan says: options, name, model (a folder), fresh (whether
each attempt has a name of its own, and is then run again), every (only each so many steps). With `once` it is a
single upload, which nothing kills.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the project
sys.path.insert(0, str(Path(__file__).parents[1]))  # its tests

from registries.mlflow_places import Place, trained

import stages
from modelkiln import env, registries
from modelkiln.registries import Ref, Version, mlflow

# What a registration asks of MLflow's client.
CALLS = (
    *("create_experiment", "create_model_version", "create_registered_model", "create_run"),
    *("get_experiment_by_name", "get_model_version", "get_registered_model", "get_run"),
    *("search_model_versions", "search_runs", "log_artifact", "log_artifacts", "download_artifacts"),
    *("set_model_version_tag", "set_registered_model_alias", "set_terminated", "update_model_version"),
    *("delete_model_version", "delete_run"),
)


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    env.keep_libraries_quiet()
    # Once, for all children; its client imports them when it opens a database.
    for store in ("model_registry", "tracking"):
        importlib.import_module(f"mlflow.store.{store}.sqlalchemy_store")

    place = Place(registries.mlflow.Options(*plan["options"]), plan["name"], plan["options"][0], Path())
    folder = Path(plan["model"])
    if plan.get("once"):
        stages.run(lambda: upload(place, folder, 0))
        return
    step, killed = 1, 0
    if not plan["fresh"]:
        before(place, folder)
    while True:
        at = replace(place, name=f"{place.name}-{step}") if plan["fresh"] else place
        if plan["fresh"]:
            before(at, folder)
        status = in_child(lambda at=at, step=step: upload(at, folder, step))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, f"step {step}: exit code {os.WEXITSTATUS(status)}"
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
        succeeds(lambda at=at: check(at, folder, whole=False), f"after a kill at step {step}")
        if plan["fresh"]:
            succeeds(lambda at=at: upload(at, folder, 0), f"again after a kill at step {step}")
            succeeds(lambda at=at: check(at, folder, whole=True), f"again after a kill at step {step}")
        step += plan["every"]
    succeeds(lambda: check(at, folder, whole=True), "in the end")
    print(json.dumps({"killed": killed, "steps": step}))


def in_child(work: Callable[[], None]) -> int:
    """The status of a child that does the work; it has MLflow imported, and nothing opened."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
    return 0


def succeeds(work: Callable[[], None], when: str) -> None:
    status = in_child(work)
    assert status == 0, f"{when}: status {status}"


def before(place: Place, folder: Path) -> None:
    """What is there before: a source to link to, and another version that the alias stands for."""

    def prepare() -> None:
        source = trained(replace(place, name=f"{place.name}-source"), folder.parent / "source", {"w": b"source"})
        mlflow.register(source, place.options)
        old = mlflow.register(trained(place, folder.parent / "old", {"w": b"old"}), place.options)
        mlflow.set_alias(old, "champion", place.options)

    succeeds(prepare, "before")


def upload(place: Place, folder: Path, step: int) -> None:
    """Registers, links and promotes; is killed at that step, if there are as many."""
    die_at(step)
    version = mlflow.register(trained(place, folder), place.options)
    mlflow.link(source_of(place), version, place.options)
    mlflow.set_alias(version, "champion", place.options)


def source_of(place: Place) -> Version:
    return mlflow.resolve(Ref("mlflow", f"{place.name}-source", version="1"), place.options)


def check(place: Place, folder: Path, whole: bool) -> None:
    """No reader sees a half version; where `whole`, all see the new one, once."""
    wanted = trained(place, folder).digest
    listed = mlflow.versions(place.name, place.options)
    digests = [version.digest for version in listed]
    assert digests[1:] in ([wanted], []), digests
    for version in listed:
        dest = folder.parent / f"fetched-{os.getpid()}"
        registries.fetch_verified(version, dest, place.options)
        shutil.rmtree(dest)
    champion = mlflow.resolve(Ref("mlflow", place.name, alias="champion"), place.options)
    compiled = source_of(place).compiled
    assert champion in listed
    assert set(compiled) <= {version.ref for version in listed[1:]}
    if whole:
        assert [champion.digest, compiled, champion.tags["previous.champion"]] == [wanted, (champion.ref,), "1"]
        found = place.client().search_model_versions(f"name = '{place.name}'")
        assert len(found) == 2, [(version.version, version.tags) for version in found]
        experiment = place.client().get_experiment_by_name(place.name).experiment_id
        assert [run.info.status for run in place.client().search_runs([experiment])] == ["FINISHED"] * 2


def die_at(step: int) -> None:
    """kill -9 of this process at its so-manieth step: before a call of MLflow's client, and in the middle of a file."""
    from mlflow import MlflowClient
    from mlflow.store.artifact import http_artifact_repo

    steps = iter(range(1, sys.maxsize))

    def count() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Any) -> Any:
        def counting(*arguments: Any, **options: Any) -> Any:
            count()
            return call(*arguments, **options)

        return counting

    for name in CALLS:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))

    def copy_with_a_pause(source: Any, target: Any, length: int = 0) -> None:
        data = source.read()
        target.write(data[: len(data) // 2])
        target.flush()
        count()
        target.write(data[len(data) // 2 :])

    shutil.copyfileobj = copy_with_a_pause
    request = http_artifact_repo.http_request

    def request_with_a_pause(*arguments: Any, **options: Any) -> Any:
        if "data" in options:
            options["data"] = Paused(options["data"], count)
        return request(*arguments, **options)

    http_artifact_repo.http_request = request_with_a_pause


class Paused:
    """A file that is read in two halves."""

    def __init__(self, file: Any, pause: Callable[[], None]) -> None:
        self._file, self._pause = file, pause
        self._half = os.fstat(file.fileno()).st_size // 2
        self._reads = 0

    def read(self, _: int = -1) -> bytes:
        self._reads += 1
        if self._reads == 2:
            self._pause()
        data: bytes = self._file.read(self._half if self._reads == 1 and self._half else -1)
        return data

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


if __name__ == "__main__":
    main()
