"""The environment for the peers whose libraries don't go with ours, and the model as they need it; made when wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from modelkiln.bench.peers import Exported
from modelkiln.bench.process import environment
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import sha256, staged_folder, write_text
from modelkiln.progress import step

HERE = Path(__file__).parent
FOLDER = HERE / ".envs"  # kept until it is deleted
REQUIREMENTS = HERE / "requirements-optimum.txt"


def prepare(source: Path) -> Exported:
    """The exported model and the interpreter that runs it; both are made where they are missing.

    Raises:
        ModelkilnError: what it takes could not be installed, or the model not be exported.
    """
    wanted = sha256(REQUIREMENTS)
    place = FOLDER / "optimum"
    python, ready = str(place / "bin" / "python"), place / f"ready-{wanted}"
    if not ready.exists():
        with step(f"making an environment for optimum in {place.relative_to(HERE.parent)} (1.7 GB)"):
            _run([sys.executable, "-m", "venv", "--clear", str(place)], sys.executable)
            _run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)], python)
        write_text(ready, "")
    (weights,) = source.glob("*.safetensors")
    exported = FOLDER / f"exported-{sha256(weights)[:12]}-{wanted[:12]}"
    if not exported.exists():
        with step("exporting the model to ONNX and OpenVINO"), staged_folder(exported) as folder:
            _run([python, str(HERE / "export.py"), str(source.resolve()), str(folder)], python)
    return Exported(exported, python)


def _run(command: list[str], python: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(python, 1))
    if done.returncode:
        said = one_line(done.stderr.splitlines()[-1:] and done.stderr.splitlines()[-1])
        raise ModelkilnError(f"{' '.join(command[:4])} …: {said} (exit code {done.returncode})")
