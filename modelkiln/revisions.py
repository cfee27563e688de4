"""Which models of conf/ has the hub in a newer revision, and how conf/ comes to pin that."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from modelkiln import compose, params
from modelkiln.errors import ModelkilnError
from modelkiln.files import sha256, write_text
from modelkiln.progress import step
from modelkiln.sources import hub


@dataclass(frozen=True)
class Look:
    """What the hub has of a model that conf/ takes from there."""

    option: Path  # its file in conf/model
    pinned: hub.Options
    newest: str  # a commit
    changed: list[str]  # the files, of those that conf/ pins, that are other ones there, or gone
    pins: dict[str, str | None]  # of all of them, as conf/ has them: {path: sha256}

    def __str__(self) -> str:
        name, repo, pinned = self.option.stem, self.pinned.repo, self.pinned.revision
        if self.newest == pinned:
            return f"{name}: {repo} is still at {pinned}"
        if not self.changed:
            return f"{name}: {repo} is at {self.newest}, with the same files as at {pinned}"
        return f"{name}: {repo} is at {self.newest}, and other than at {pinned} are {', '.join(self.changed)}"


def look(conf: Path = compose.CONF) -> list[Look]:
    """A look at each model of conf/model that comes from the hub, in the order of their names.

    Raises:
        ModelkilnError: conf/ does not compose, or the hub can't be asked.
    """
    found = []
    for option in sorted((conf / "model").glob("*.yaml")):
        data = compose.compose(conf, [f"model={option.stem}"])
        download = params.from_data(data, str(option)).download
        if download.source != "hub":
            continue
        pinned = params.source_options(download)
        pins = download.files or {}
        with step(f"looking at {pinned.repo}"):
            newest, changed = hub.newest(pinned, sorted(pins))
        found.append(Look(option, pinned, newest, changed, pins))
    return found


def pin(seen: Look) -> None:
    """Writes the newest commit, and the sha256 of each changed file, over the old ones in the option's file.

    Everything else in it stays, comments too. The changed files are downloaded for their sha256.

    Raises:
        ModelkilnError: a file is gone, or the file does not name what it pins in so many words, once.
    """
    text = seen.option.read_text(encoding="utf-8")
    replaced = {seen.pinned.revision: seen.newest}
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as folder:
        hub.fetch(Path(folder), hub.Options(seen.pinned.repo, seen.newest), seen.changed)
        replaced |= {old: sha256(Path(folder) / name) for name in seen.changed if (old := seen.pins[name])}
    for old, new in replaced.items():
        if text.count(old) != 1:
            raise ModelkilnError(f"{seen.option}: expected {old} there once; pin {new} by hand")
        text = text.replace(old, new)
    write_text(seen.option, text)
