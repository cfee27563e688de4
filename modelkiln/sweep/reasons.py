"""What a run said before it failed -> the reason, on one line."""

from __future__ import annotations

import re

from modelkiln.errors import one_line

UNKNOWN = "it left no reason"
LONGEST = 400  # characters
# What a stage says of an error of its user (see stages.run), to the end of what is indented below it.
STAGE = re.compile(r"^(?:download|compile|validate|upload): .+(?:\n[ \t]+.+)*", re.MULTILINE)
# What Python says last of a bug, behind the lines of its traceback.
BUG = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)", re.MULTILINE)
SAID = re.compile(r"^(?:ERROR|error|fatal): .+(?:\n[ \t]+.+)*", re.MULTILINE)  # by DVC, by git
STYLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def reason_of(log: str) -> str:
    """Why a `dvc` or a `git` has failed, from all that it and the stages printed; on one line, cut at LONGEST."""
    text = STYLE.sub("", log.replace("\r", "\n"))
    found = STAGE.findall(text) or BUG.findall(text) or SAID.findall(text) or text.strip().splitlines()
    reason = one_line(found[-1][: LONGEST + 1]) if found else UNKNOWN
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}…"
