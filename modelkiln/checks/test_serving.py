"""The packaged bytes, moved to another folder and loaded as they will be served, in a new process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelkiln import backends, env, tasks
from modelkiln.artifact import MANIFEST, Manifest
from modelkiln.bounds import Bounds
from modelkiln.checks.fresh import HEAVY
from modelkiln.checks.plugin import Judge
from modelkiln.errors import one_line
from modelkiln.files import write_text

FEW = 6


@dataclass(frozen=True)
class Served:
    """What the new process answered."""

    copy: Path
    vectors: dict[str, list[list[float]]]
    answers: list[Any]
    files: list[Path]  # that it opened or mapped


@pytest.fixture(scope="module")
def few(texts: list[str]) -> list[str]:
    """Enough of the texts: what they are in this process the other checks say."""
    return texts[:: -(-len(texts) // FEW)]


@pytest.fixture(scope="module")
def served(
    folder: Path,
    manifest: Manifest,
    few: list[str],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """The copy's answers. Its folder has a name that trips up what takes paths for ASCII without blanks."""
    if lacking := pytestconfig.getoption("--without-device"):
        pytest.skip(lacking)
    scratch = tmp_path_factory.mktemp("serving")
    copy = scratch / "moved, fürs Erste" / "artifact"
    for name in (*manifest.files, MANIFEST):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, copy / name)
    asked = {
        "artifact": str(copy),
        "without": [name for name in HEAVY if name not in backends.load(manifest.backend).RUNTIME],
        "texts": few,
        "params": tasks.load(manifest.task).GOLDEN_PARAMS[0],
        "reply": str(scratch / "reply.json"),
    }
    write_text(scratch / "request.json", json.dumps(asked))
    command = [sys.executable, "-m", "modelkiln.checks.fresh", str(scratch / "request.json")]
    root = str(Path(__file__).parents[2])
    environment = {**env.offline_environment(), "PYTHONPATH": root}
    done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = one_line(done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"])
        pytest.fail(f"it can't be served: {said}", pytrace=False)
    reply = json.loads((scratch / "reply.json").read_text(encoding="utf-8"))
    yield Served(copy, reply["vectors"], reply["answers"], [Path(file) for file in reply["files"]])
    shutil.rmtree(scratch)


def test_moved_copy_gives_the_same_vectors_in_a_new_process(
    served: Served, encoder_name: str, forgetful: Any, few: list[str], judge: Judge
) -> None:
    here = getattr(forgetful, encoder_name).encode(few)
    there = np.array(served.vectors[encoder_name], dtype=np.float32)
    judge.hold("max_abs_difference", float(np.abs(here - there).max()))


def test_moved_copy_gives_the_same_answers(
    served: Served, manifest: Manifest, predictor: Any, few: list[str], bounds: Bounds, judge: Judge
) -> None:
    task = tasks.load(manifest.task)
    here = task.predict(predictor, few, task.GOLDEN_PARAMS[0])
    there = [[(keyword, score) for keyword, score in answer] for answer in served.answers]
    judge.hold("agreement", task.compare(here, there, bounds.tie_atol).figures["agreement"])


def test_loads_nothing_but_what_the_manifest_lists(
    served: Served, manifest: Manifest, folder: Path, source: Path, judge: Judge
) -> None:
    listed = {served.copy / name for name in (*manifest.files, MANIFEST)}
    elsewhere = [place.resolve() for place in (folder, source)]
    strangers = [
        str(file)
        for file in served.files
        if (file.is_relative_to(served.copy) and file.is_file() and file not in listed)
        or any(file.is_relative_to(place) for place in elsewhere)
    ]
    judge.hold("files_of_the_artifact", len(listed.intersection(served.files)))
    judge.hold("files_from_elsewhere", len(strangers))
    assert not strangers, f"loaded, though the manifest does not list them: {strangers}"
