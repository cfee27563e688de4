"""What makes a registered artifact an MLflow model: the files beside it that MLflow loads, serves and shows it by.

Written by hand, since MLflow's own classes for it need pandas, and its client (mlflow-skinny) comes without. A test
holds them against those classes. They say no time, host or path: the same artifact has the same files.
"""

from __future__ import annotations

import json
from typing import Any

from modelkiln.artifact import Manifest

DATA = "data"  # the artifact's folder, beside these files
TEXT = "text"  # the one column of the input
# Those of extract_keywords that are numbers, texts or lists of them, and mean the same whatever else is asked at once.
# MLflow checks the types, and fills in the defaults; it has no None.
KEYWORD_PARAMS: dict[str, tuple[str, Any]] = {
    "top_n": ("long", 5),
    "keyphrase_ngram_range": ("long", [1, 1]),
    "stop_words": ("string", ["english"]),  # the name of a list, or words; none: []
    "use_mmr": ("boolean", False),
    "use_maxsum": ("boolean", False),
    "diversity": ("double", 0.5),
    "nr_candidates": ("long", 20),
    "candidates": ("string", []),  # every phrase: []
    "seed_keywords": ("string", []),
}


def describe(manifest: Manifest) -> dict[str, str]:
    """The files of an artifact's MLflow model, {path: text}; none where nothing here serves its task."""
    if manifest.task != "keywords":
        return {}
    import yaml

    model = {
        "flavors": {
            "python_function": {
                "loader_module": "modelkiln.pyfunc",
                "data": DATA,
                "env": {"virtualenv": "python_env.yaml"},
                "python_version": manifest.toolchain.get("python", "3.11"),
            }
        },
        "signature": {
            "inputs": json.dumps([{"type": "string", "name": TEXT, "required": True}]),
            # For each text, [keyword, score] pairs.
            "outputs": json.dumps(
                [{"type": "array", "items": {"type": "array", "items": {"type": "any"}}, "required": True}]
            ),
            "params": json.dumps([_param(name, *spec) for name, spec in KEYWORD_PARAMS.items()]),
        },
        "metadata": {"content_digest": manifest.digest},
    }
    environment = {
        "python": manifest.toolchain.get("python", "3.11"),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    return {
        "MLmodel": yaml.safe_dump(model, sort_keys=True),
        "python_env.yaml": yaml.safe_dump(environment, sort_keys=False),
        "requirements.txt": f"mlflow>=3.11\nmodelkiln[{manifest.backend}]\n",
    }


def _param(name: str, kind: str, default: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "default": default, "shape": [-1] if isinstance(default, list) else None}
