"""What a machine can run: its system, its processor's architecture and instructions.

An artifact that holds machine code says in its manifest what that code needs; loading it elsewhere would end in a crash
of the process, so it is refused in one line instead.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from modelkiln.errors import ModelkilnError

CPUINFO = Path("/proc/cpuinfo")
SAME_ARCHITECTURE = {"amd64": "x86_64", "arm64": "aarch64"}  # other systems' names for it


@dataclass(frozen=True)
class Machine:
    """What machine code needs, or what a machine has."""

    system: str  # as platform.system() names it, in lower case
    architecture: str  # as Linux names it
    instructions: tuple[str, ...]  # the processor's flags, as Linux names them


def this_machine() -> Machine:
    """The machine that this process runs on; its instructions are known on Linux only."""
    architecture = platform.machine().lower()
    flags: set[str] = set()
    if CPUINFO.exists():
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))]
        flags = set(found[0]).intersection(*found[1:]) if found else set()
    architecture = SAME_ARCHITECTURE.get(architecture, architecture)
    return Machine(platform.system().lower(), architecture, tuple(sorted(flags)))


def check(needed: Machine, what: str) -> None:
    """Raises a ModelkilnError that says what machine code was made for and what this machine is, if it can't run it.

    Args:
        needed: What the code needs.
        what: Names it in the message.
    """
    here = this_machine()
    lacking = [each for each in needed.instructions if each not in here.instructions]
    made_for = f"{what} is machine code for {needed.system} on {needed.architecture}"
    if (needed.system, needed.architecture) != (here.system, here.architecture):
        raise ModelkilnError(
            f"{made_for}, and this machine is {here.system} on {here.architecture}; "
            "compile it on a machine of that kind, or for another backend"
        )
    if lacking:
        raise ModelkilnError(
            f"{made_for} with {', '.join(needed.instructions)}, and this processor has no {', '.join(lacking)}; "
            "compile it for another backend"
        )
