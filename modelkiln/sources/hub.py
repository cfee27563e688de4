"""`hub`: a repository of the Hugging Face hub, at one commit."""

from __future__ import annotations

import re
import shutil
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
    if env.hub_is_offline():
        raise ModelkilnError("download.source=hub, but HF_HUB_OFFLINE forbids to reach the hub: unset it")
    import httpx2  # huggingface_hub's own client, whose errors pass through it
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    endpoint = env.hub_endpoint()
    try:
        names = files
        if not names:
            info = HfApi(endpoint=endpoint).model_info(options.repo, revision=options.revision, timeout=LIST_TIMEOUT)
            names = [sibling.rfilename for sibling in info.siblings or []]
        raise_all(
            f"{endpoint}: {options.repo} at {options.revision}",
            [f"{name!r} points outside the model's folder" for name in names if not is_inside(name)],
        )
        for name in names:
            with step(f"downloading {options.repo}/{name}"):
                hf_hub_download(options.repo, name, revision=options.revision, local_dir=dest, endpoint=endpoint)
    # ValueError: no repository's name, no JSON, no token that fits into a header.
    except (httpx2.HTTPError, OSError, ValueError) as error:
        # LocalEntryNotFoundError only says that the file is not in the cache; its cause says why the hub gave none.
        reason = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        raise ModelkilnError(
            f"{endpoint}: can't download {options.repo} at {options.revision}: {one_line(reason)}; "
            "look at the network, HF_ENDPOINT and HF_TOKEN, or take the model from elsewhere with download.source"
        ) from error
    shutil.rmtree(dest / ".cache", ignore_errors=True)  # the client's notes on what it has
    return options.repo, options.revision
