"""The uncompiled model as its users run it: by sentence-transformers, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line


def load_uncompiled(source: Path, remedy: str) -> Any:
    """The SentenceTransformer in a folder: safetensors only, no code of the model's own, and nothing from the network.

    Args:
        source: The folder.
        remedy: What the user can do where it can't be loaded: the end of the message.

    Raises:
        ModelkilnError: it can't be loaded.
    """
    import sentence_transformers

    options: dict[str, Any] = {"local_files_only": True, "model_kwargs": {"use_safetensors": True}}
    if sentence_transformers.__version__.startswith("2."):  # the last ones that run on torch 1.13 know neither
        options = {}
        pickles = sorted(path.relative_to(source).as_posix() for path in source.rglob("pytorch_model*.bin"))
        if pickles:
            raise ModelkilnError(f"{source}: has weights as pickles ({', '.join(pickles)}), which are code; {remedy}")
    try:
        return sentence_transformers.SentenceTransformer(str(source), device="cpu", trust_remote_code=False, **options)
    except Exception as error:
        # No cause: each of the checks would show its traceback again.
        raise ModelkilnError(f"{source}: the uncompiled model can't be loaded: {one_line(error)}; {remedy}") from None
