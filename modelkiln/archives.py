"""What a zip archive, such as torch's, holds beside what belongs to it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from modelkiln.errors import ModelkilnError

# Of an entry, beside its data: its two headers, what aligns its data, and its name, which stands in both.
HEADERS, ALIGNMENT, END = 76, 160, 128


def strangers(path: Path, known: str) -> list[str]:
    """A line for each entry of another name, for a name that is there twice, and for bytes that are no entry's.

    Args:
        path: The archive.
        known: A regular expression for the names that belong to it.

    Raises:
        ModelkilnError: it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries, comment = archive.infolist(), archive.comment
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelkilnError(f"{path}: no archive that could be read: {error}") from error
    names = [entry.filename for entry in entries]
    found = [f"an entry {name!r}" for name in names if not re.fullmatch(known, name)]
    found += [f"{len(names) - len(set(names))} entries twice"] if len(set(names)) < len(names) else []
    found += ["a comment"] if comment or any(entry.comment for entry in entries) else []
    room = sum(entry.compress_size + HEADERS + ALIGNMENT + 2 * len(entry.filename.encode()) for entry in entries) + END
    over = path.stat().st_size - room
    return found + ([f"{over} bytes and more between its entries"] if over > 0 else [])
