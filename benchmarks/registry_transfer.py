"""One transfer, measured by itself: run as a script, with a plan as JSON; see benchmarks/registries.py.

Writes, as JSON, start_s (importing the client, and a first question to the server), seconds, peak_mb into a file: the
clients print what they like.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelkiln import registries
from modelkiln.artifact import read_manifest
from modelkiln.bench.peer import peak_mb
from modelkiln.contents import COMPILED
from modelkiln.registries import Ref, Registration


def main() -> None:
    plan = json.loads(sys.argv[1])
    artifact, dest, name = Path(plan["artifact"]), Path(plan["dest"]), plan["name"]
    started = time.perf_counter()
    work: Callable[[], object]
    if plan["step"] == "copy":
        work = lambda: shutil.copytree(artifact, dest)  # noqa: E731
    elif plan["step"].startswith("client"):
        work = CLIENTS[plan["registry"]](plan["step"], artifact, dest, name)
    else:
        work = _ours(plan["step"], plan["registry"], artifact, dest, name)
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    found = {"start_s": begun - started, "seconds": seconds, "peak_mb": peak_mb()}
    Path(plan["result"]).write_text(json.dumps(found), encoding="utf-8")


def _ours(step: str, registry_name: str, artifact: Path, dest: Path, name: str) -> Callable[[], object]:
    registry = registries.load(registry_name)
    options = registry.Options()
    digest = read_manifest(artifact).digest
    there = registry.find(name, digest, options) is not None
    assert there is (step != "upload")
    if step == "download":
        version = registry.resolve(Ref(registry_name, name, version="1"), options)
        return lambda: registries.fetch_verified(version, dest, options)
    wanted = Registration(name, "bench", COMPILED, digest, artifact, {}, {"backend": "bench"}, "# card\n")
    return lambda: registry.register(wanted, options)


def _mlflow(step: str, artifact: Path, dest: Path, name: str) -> Callable[[], object]:
    from mlflow import MlflowClient

    client: Any = MlflowClient()
    if step == "client upload":
        run = client.create_run(client.create_experiment(f"{name}-client")).info.run_id
        return lambda: client.log_artifacts(run, str(artifact))
    (found,) = client.search_runs([client.get_experiment_by_name(f"{name}-client").experiment_id])
    dest.mkdir()
    return lambda: client.download_artifacts(found.info.run_id, "", str(dest))


def _neptune(step: str, artifact: Path, dest: Path, name: str) -> Callable[[], object]:
    import neptune

    key = f"{name}CLIENT"
    files = [path for path in artifact.rglob("*") if path.is_file()]
    if step == "client upload":
        neptune.init_model(key=key, mode="sync").stop()
        version = neptune.init_model_version(model=f"PROJ-{key}", mode="sync")

        def upload() -> None:
            for path in files:
                version[f"model/{path.relative_to(artifact)}"].upload(str(path))
            version.wait()
            version.stop()

        return upload
    version = neptune.init_model_version(with_id=f"PROJ-{key}-1", mode="read-only")

    def download() -> None:
        for path in files:
            target = dest / path.relative_to(artifact)
            target.parent.mkdir(parents=True, exist_ok=True)
            version[f"model/{path.relative_to(artifact)}"].download(str(target))

    return download


CLIENTS = {"mlflow": _mlflow, "neptune": _neptune}

if __name__ == "__main__":
    main()
