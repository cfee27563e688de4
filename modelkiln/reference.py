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
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            str(source),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:
        # No cause: each of the checks would show its traceback again.
        raise ModelkilnError(f"{source}: the uncompiled model can't be loaded: {one_line(error)}; {remedy}") from None
