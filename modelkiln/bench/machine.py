"""The facts of the machine that a speed depends on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from modelkiln.machine import this_machine

INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def facts() -> dict[str, str]:
    """Processor, cores, instruction sets, memory, operating system; what Linux says, elsewhere what Python knows."""
    cpu = _table("/proc/cpuinfo")
    memory = _table("/proc/meminfo").get("MemTotal", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = this_machine().instructions
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": str(cores),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags) or platform.machine(),
        "memory": f"{int(memory.split()[0]) / 2**20:.0f} GiB" if memory else "unknown",
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _table(path: str) -> dict[str, str]:
    """The first value of each name; of processors the first one's, then."""
    found: dict[str, str] = {}
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found
