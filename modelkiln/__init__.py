"""modelkiln compiles a trained transformer for serving, proves that it still gives the same answers, and registers it.

import modelkiln

extractor = modelkiln.load("artifacts/compiled")                 # or "mlflow:keywords-minilm@champion"
extractor.extract_keywords("The tram line opens on Friday …")    # [("tram", 0.6121), …]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError

__all__ = ["ModelkilnError", "load"]
__version__ = "0.1.0"


def load(ref: str | Path, *, threads: int | None = None) -> Any:
    """The predictor of an artifact; for keywords a modelkiln.extractor.KeywordExtractor.

    Load in each process: a forked child can't use what its parent loaded: torch's threads don't survive a fork.

    Args:
        ref: An artifact's folder; or a registered version, as `mlflow:NAME@ALIAS` or `mlflow:NAME/VERSION`, which is
            fetched once and kept in the cache folder (see modelkiln.env).
        threads: To run one call of a graph on; None: the backend's own choice, as a rule all cores.

    Raises:
        ModelkilnError: no such artifact or version, or one that is not as it was compiled. It is not loaded then.
    """
    from modelkiln import artifact, env, registries, tasks
    from modelkiln.encoder import load_encoders

    env.keep_libraries_quiet()
    folder = registries.folder_of(str(ref))
    manifest = artifact.verify(folder)
    return tasks.load(manifest.task).build(load_encoders(folder, manifest, threads), folder)
