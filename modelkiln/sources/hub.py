"""`hub`: a repository of the Hugging Face hub, at one commit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelkiln import env
from modelkiln.errors import ModelkilnError, one_line, raise_all
from modelkiln.files import is_inside
from modelkiln.progress import step

LIST_TIMEOUT = 10  # seconds for the list of a commit's files: the client has no limit of its own there


@dataclass(frozen=True)
class Options:
    """Which repository, and which commit of it."""

    repo: str
    revision: str

    def __post_init__(self) -> None:
        # A branch or a tag can move, and DVC would not see it.
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(f"revision must be a commit, 40 hex digits; found {self.revision!r}")


def fetch(dest: Path, options: Options, files: list[str]) -> tuple[str, str]:
    """Downloads the files at that commit; see Source.fetch. The revision is the commit."""
    _require_online("download.source=hub")
    from huggingface_hub import hf_hub_download

    endpoint = env.hub_endpoint()
    with _failing_in_one_line(f"download {options.repo} at {options.revision}"):
        names = files or list(_blobs(options.repo, options.revision))
        raise_all(
            f"{endpoint}: {options.repo} at {options.revision}",
            [f"{name!r} points outside the model's folder" for name in names if not is_inside(name)],
        )
        for name in names:
            with step(f"downloading {options.repo}/{name}"):
                hf_hub_download(options.repo, name, revision=options.revision, local_dir=dest, endpoint=endpoint)
    shutil.rmtree(dest / ".cache", ignore_errors=True)  # the client's notes on what it has
    return options.repo, options.revision


def newest(options: Options, files: list[str]) -> tuple[str, list[str]]:
    """The commit that the repository's own branch is at, and which of the files are other ones there, or gone.

    Of all files where none are named. Nothing is downloaded: the hub lists git's digest of each file, and of a large
    one git's digest of its sha256.

    Raises:
        ModelkilnError: no network, no such repository, no such commit.
    """
    _require_online("the look for newer revisions")
    from huggingface_hub import HfApi

    with _failing_in_one_line(f"look at {options.repo}"):
        info = HfApi(endpoint=env.hub_endpoint()).model_info(options.repo, timeout=LIST_TIMEOUT)
        commit = str(info.sha)
        if commit == options.revision:
            return commit, []
        pinned, now = _blobs(options.repo, options.revision), _blobs(options.repo, commit)
    names = files or sorted({*pinned, *now})
    return commit, [name for name in names if pinned.get(name) != now.get(name)]


def _blobs(repo: str, revision: str) -> dict[str, str | None]:
    """Each file of a commit, with git's digest of it."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=env.hub_endpoint()).model_info(
        repo, revision=revision, files_metadata=True, timeout=LIST_TIMEOUT
    )
    return {sibling.rfilename: sibling.blob_id for sibling in info.siblings or []}


def _require_online(what: str) -> None:
    if env.hub_is_offline():
        raise ModelkilnError(f"{what}, but HF_HUB_OFFLINE forbids to reach the hub: unset it")


@contextmanager
def _failing_in_one_line(what: str) -> Iterator[None]:
    import httpx2  # huggingface_hub's own client, whose errors pass through it
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        yield
    # ValueError: no repository's name, no JSON, no token that fits into a header.
    except (httpx2.HTTPError, OSError, ValueError) as error:
        # LocalEntryNotFoundError only says that the file is not in the cache; its cause says why the hub gave none.
        reason = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        raise ModelkilnError(
            f"{env.hub_endpoint()}: can't {what}: {one_line(reason)}; "
            "look at the network, HF_ENDPOINT and HF_TOKEN, or take the model from elsewhere with download.source"
        ) from error
