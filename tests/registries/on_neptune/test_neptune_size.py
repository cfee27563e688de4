"""Many files and large ones: all of them come back, in memory that does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from neptune_server import NeptuneServer
from neptune_server.samples import trained

from modelkiln import registries
from modelkiln.files import relative_files
from modelkiln.registries import neptune

GIGABYTE = 1 << 30
RUN = """if True:
    import json, resource, sys
    from pathlib import Path
    from modelkiln import registries
    from modelkiln.registries import neptune
    from neptune_server.samples import trained
    options = neptune.Options()
    neptune.find("KEYB", "0" * 64, options)  # all is imported
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    version = neptune.register(trained(Path("model"), {}), options)
    registries.fetch_verified(version, Path("fetched"), options)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def many(number: int, options: neptune.Options, tmp_path: Path) -> None:
    files = {f"part-{index % 7}/{index:05}.bin": b"%d" % index for index in range(number)}
    version = neptune.register(trained(tmp_path / "model", files), options)
    registries.fetch_verified(version, tmp_path / "fetched", options)
    assert relative_files(tmp_path / "fetched/model") == sorted(files)


def test_a_hundred_files(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    many(100, options, tmp_path)


@pytest.mark.heavy
def test_five_thousand_files(server: NeptuneServer, options: neptune.Options, tmp_path: Path) -> None:
    many(5000, options, tmp_path)


@pytest.mark.heavy
def test_a_gigabyte_takes_no_memory(server: NeptuneServer, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model/model.safetensors").open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(GIGABYTE // 64))
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) * 1024 < 100e6  # bytes
