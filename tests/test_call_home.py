"""Nothing calls home, and nothing is left in the home folder: each backend and each command, watched from outside.

ONNX Runtime looks its makers' host up and writes a device's id there, OpenVINO reports its import to Google Analytics,
unless they are told not to. Others may begin to with any version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from watched import can_watch, watch

pytestmark = pytest.mark.skipif(not can_watch(), reason="needs Linux's user namespaces")
SERVES = """
import sys, time, modelkiln
modelkiln.load(sys.argv[1]).extract_keywords("The council approved the new tram line on Tuesday.")
time.sleep(float(sys.argv[2]))  # ONNX Runtime asks some seconds after it was loaded
"""
COMPILES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from compiling import compile_here
compile_here(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), 48)
"""
JUDGES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from compiling import asked_of
from modelkiln import validation
from modelkiln.bounds import STRICT
from modelkiln.golden import SHIPPED
from modelkiln.params import Validate
artifact, source, reports = map(Path, sys.argv[2:])
few = reports.parent / "few.jsonl"
few.write_text("".join(SHIPPED.read_text().splitlines(True)[:3]))
params = Validate(STRICT, str(few), str(few), 1)
assert validation.validate(artifact, source, reports, params, asked_of(artifact)).checks
"""
BACKENDS = ["onnxruntime", "openvino", "generic", "aotinductor"]


def test_watching_sees_a_look_up_and_a_file(tmp_path: Path) -> None:
    calls = "import pathlib, socket\npathlib.Path.home().joinpath('id').touch()\nsocket.gethostbyname('a.example.org')"
    names, left, done = watch(tmp_path, [sys.executable, "-c", calls])
    assert (names, left) == (["a.example.org"], ["id"])
    assert "gaierror" in done.stderr


def watched(home: Path, command: list[str]) -> None:
    home.mkdir()
    names, left, done = watch(home, command)
    assert done.returncode == 0, done.stderr
    assert (names, left) == ([], [])


@pytest.mark.parametrize("seconds", [0, pytest.param(20, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_serving_calls_nobody(
    backend: str, seconds: int, tiny_artifact_for: Callable[[str, str], Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SERVES, str(tiny_artifact_for(backend, "fp32")), str(seconds)]
    watched(tmp_path / "home", command)


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "ARTIFACT"],
        ["verify", "ARTIFACT"],
        ["extract", "ARTIFACT", "TEXT"],
        pytest.param(["bench", "ARTIFACT", "--documents", "TEXT"], marks=pytest.mark.heavy),
        pytest.param(["sign", "--help"], marks=pytest.mark.heavy),
    ],
    ids=lambda arguments: arguments[0],
)
def test_command_calls_nobody(arguments: list[str], table_artifact: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The council approved the new tram line on Tuesday.")
    places = {"ARTIFACT": str(table_artifact), "TEXT": str(text)}
    command = [sys.executable, "-m", "modelkiln.cli", *(places.get(each, each) for each in arguments)]
    watched(tmp_path / "home", command)


@pytest.mark.heavy
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiling_and_judging_call_nobody(backend: str, tiny_source: Path, tmp_path: Path) -> None:
    tests, artifact = str(Path(__file__).parent), tmp_path / "compiled"
    watched(tmp_path / "first", [sys.executable, "-c", COMPILES, tests, backend, str(tiny_source), str(artifact)])
    command = [sys.executable, "-c", JUDGES, tests, str(artifact), str(tiny_source), str(tmp_path / "reports")]
    watched(tmp_path / "second", command)
