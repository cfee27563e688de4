"""The one class of error that a user can fix, and what may be printed of others' texts.

Every other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

LONGEST = 600  # characters of what others say, which may be a whole page of HTML
SECRETS = (  # environment variables whose values are printed nowhere
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "NEPTUNE_API_TOKEN", "HF_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MODELKILN_SIGNING_PASSWORD"),
)
SHORTEST = 4  # characters of a secret: what is shorter stands in other words too
HIDDEN = "…"
# Credentials as they stand in addresses: before an @, with a scheme or without one, and in a query; and keys.
CREDENTIALS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/?#\s]*@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (
        re.compile(r"(?<![\w/.-])(?!(?:mlflow|neptune|hub|package|registry):)[^\s:/@'\"]+:[^\s/@'\"]+@(?=[\w-]+[.:/])"),
        f"{HIDDEN}@",
    ),
    (
        re.compile(r"([?&;][^=&\s]*(?:token|key|secret|passw|sig|credential|auth)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w+/=.~-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(-----BEGIN [A-Z ]*KEY-----).*?(?:-----END [A-Z ]*KEY-----|\Z)", re.DOTALL), rf"\1{HIDDEN}"),
)
# What a terminal would obey: control characters but the line's end, and those that turn the direction of a text.
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class ModelkilnError(Exception):
    """Something the user can put right: says where, what was found, what was expected, and what to do."""

    def __str__(self) -> str:
        return plain(super().__str__())


def plain(text: str) -> str:
    """The text as it may be printed: without secrets, and with nothing in it that a terminal obeys."""
    for name in SECRETS:
        secret = os.environ.get(name, "").strip()
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    for pattern, instead in CREDENTIALS:
        text = pattern.sub(instead, text)
    return CONTROLS.sub(lambda found: " " if found[0] == "\t" else ascii(found[0])[1:-1], text)


def one_line(said: object) -> str:
    """What an error, or a report of one, says, on one line of at most LONGEST characters; its class if it is silent."""
    text = plain(" ".join(str(said).split())) or type(said).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def raise_all(title: str, mistakes: Sequence[str]) -> None:
    """Raises one ModelkilnError that lists every mistake; returns when there is none."""
    if len(mistakes) == 1:
        raise ModelkilnError(f"{title}: {mistakes[0]}")
    if mistakes:
        raise ModelkilnError(f"{title}: {len(mistakes)} mistakes:\n" + "\n".join(f"  - {m}" for m in mistakes))
