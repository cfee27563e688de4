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
MOST_THREADS = 1024  # each takes memory, and starting 100,000 of them takes minutes in which no signal is heeded


def load(
    ref: str | Path,
    *,
    threads: int | None = None,
    cache_mb: float = 64,
    phrase_cache: str | Path | None = None,
    digest: str | None = None,
    key: str | Path | None = None,
) -> Any:
    """The predictor of an artifact; for keywords a modelkiln.keywords.extractor.KeywordExtractor.

    An artifact can be code: TorchScript and machine code do what they say. So load what you trust: its digest or its
    signature says whose it is; that it is whole says nothing of who made it (docs/verdict.md).

    Load in each process: a forked child can't use what its parent loaded: torch's threads don't survive a fork.

    Args:
        ref: An artifact's folder; or a registered version, as `mlflow:NAME@ALIAS` or `mlflow:NAME/VERSION`, which is
            fetched once and kept in the cache folder (see modelkiln.env).
        threads: To run one call of a graph on; None: the backend's own choice, as a rule all cores.
        cache_mb: Megabytes for the vectors of phrases that this process has met; the least recently used give way. 0:
            none are kept. No answer depends on it.
        phrase_cache: A file that keeps them for other processes too, now and later; it is begun if it does not exist.
        digest: The content digest that it has to have, as its registration or its verdict says it.
        key: A public key, a file: its owner has to have signed the artifact (`modelkiln sign`). None: what the
            environment demands by MODELKILN_LOAD_KEY.

    Raises:
        ModelkilnError: no such artifact or version, or one that is not as it was compiled, of another digest, or not
            signed as it has to be. It is not loaded then.
    """
    from modelkiln import artifact, env, registries, tasks
    from modelkiln.encoder import keep_vectors, load_encoders

    if not 0 <= cache_mb < float("inf"):
        raise ModelkilnError(f"cache_mb must be 0 or more, found {cache_mb!r}")
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MOST_THREADS):
        raise ModelkilnError(f"threads must be a whole number from 1 to {MOST_THREADS}, found {threads!r}")
    env.keep_libraries_quiet()
    folder = registries.folder_of(str(ref))
    with artifact.verified(folder, digest) as manifest:
        if signer := Path(key) if key is not None else env.load_key():
            from modelkiln import signing

            signing.verify(folder, signer, signing.signature_of(folder))
        task = tasks.load(manifest.task)
        if set(task.ENCODERS) != set(manifest.encoders):
            needed = f"the task {manifest.task} needs the encoders {' and '.join(task.ENCODERS)}"
            raise ModelkilnError(f"{folder}: {needed}, and the manifest has {', '.join(manifest.encoders)[:80]}")
        encoders = load_encoders(folder, manifest, threads)
        keep_vectors({name: encoders[name] for name in task.RECURRING}, manifest, cache_mb, phrase_cache)
        return task.build(encoders, folder)
