"""An artifact that takes no compiler: sealed as a real one is, but nothing in it can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkiln.artifact import FORMAT, EncoderSpec, Manifest, seal
from modelkiln.files import write_text

SOURCE = {"model": "tiny", "variant": "base", "source": "local", "id": "tiny", "revision": "a" * 64}
TOOLCHAIN = {"python": "3.11", "torch": "2.13.0", "scikit-learn": "1.9.1"}


def seal_artifact(folder: Path, files: dict[str, str] | None = None, **changes: Any) -> Manifest:
    """Fills the folder with an artifact of these files, {path: text}, and of a graph."""
    for name, text in {"graphs/encoder.pt": "graph", "tokenizer.json": "{}", **(files or {})}.items():
        write_text(folder / name, text)
    said: dict[str, Any] = {
        "format": FORMAT,
        "task": "keywords",
        "backend": "generic",
        "precision": "fp32",
        "options": {},
        "encoders": {name: EncoderSpec("graphs/encoder.pt", "padded", 8, 48) for name in ("document", "word")},
        "dimension": 32,
        "pad_id": 0,
        "source": SOURCE,
        "toolchain": TOOLCHAIN,
        "machine": None,
        "files": {},
    }
    return seal(folder, Manifest(**{**said, **changes}))
