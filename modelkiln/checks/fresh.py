"""A process like the one that serves: loads an artifact without the libraries that it can do without, and answers.

    python -m modelkiln.checks.fresh REQUEST.json

JSON in (artifact, without, texts, params, reply); JSON out, into the file `reply`: vectors, answers, and every file
that was opened or mapped on the way.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# What is installed where artifacts are made and judged, and need not be where they serve.
HEAVY = (
    *("torch", "transformers", "sentence_transformers", "keybert", "onnx", "onnxruntime", "openvino", "sklearn"),
    *("scipy", "pandas", "matplotlib", "mlflow", "dvc", "hydra", "yaml", "pytest"),
)


class Without:
    """One of Python's finders, to which some packages are not installed.

    Whoever only asks whether one is there gets the answer that Python gives where it is not, as torch does of onnx.
    """

    def __init__(self, finder: Any, names: list[str]) -> None:
        self._finder = finder
        self._names = set(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The finder's answer, or None."""
        return None if name.partition(".")[0] in self._names else self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)  # importlib.metadata asks finders for what is installed


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Does what the request says."""
    opened: set[str] = set()
    without = request["without"]
    sys.meta_path[:] = [Without(finder, without) for finder in sys.meta_path]
    sys.addaudithook(lambda event, args: _note(opened, event, args))
    try:
        vectors, answers = _serve(request)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in without:
            raise ModuleNotFoundError(f"{error} (serving has to do without it)", name=error.name) from error
        raise
    return {"vectors": vectors, "answers": answers, "files": sorted(opened | _mapped())}


def _serve(request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    import modelkiln
    from modelkiln import tasks
    from modelkiln.artifact import read_manifest

    folder = Path(request["artifact"])
    predictor = modelkiln.load(folder)
    manifest = read_manifest(folder)
    vectors = {name: getattr(predictor, name).encode(request["texts"]).tolist() for name in manifest.encoders}
    return vectors, tasks.load(manifest.task).predict(predictor, request["texts"], request["params"])


def _note(opened: set[str], event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        opened.add(os.path.abspath(os.fsdecode(args[0])))


def _mapped() -> set[str]:
    """The files in this process's memory, which libraries in C map unseen by Python; Linux says so."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return set()
    found = [line.split(maxsplit=5) for line in maps.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {fields[5] for fields in found if len(fields) == 6 and fields[5].startswith("/")}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(asked["reply"]).write_text(json.dumps(main(asked)), encoding="utf-8")
