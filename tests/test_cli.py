"""The command: answers on stdout, what the user can fix as one line on stderr with exit code 1."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from earned import earned
from imports import ROOT

import modelkiln
from modelkiln.artifact import read_manifest
from modelkiln.files import to_json, write_text
from modelkiln.verdict import Check


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_help_teaches_and_is_quick(modelkiln_command: Any) -> None:
    listed = modelkiln_command("--help").stdout
    for command in ("extract", "info", "verify", "verdict", "compose", "where"):
        assert command in listed
        assert modelkiln_command(command, "--help").returncode == 0
    script = "import sys; sys.argv = ['modelkiln', '--help']; from modelkiln.cli import app; app(standalone_mode=False)"
    loaded = "; print({'torch', 'mlflow', 'dvc', 'hydra', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script + loaded], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_info_says_what_it_is(modelkiln_command: Any, tiny_artifact: Path) -> None:
    said = modelkiln_command("info", tiny_artifact).stdout
    manifest = read_manifest(tiny_artifact)
    for part in ("generic fp32", "32 dimensions", "up to 8 texts of 48 tokens", "torch 2.13.0", manifest.digest):
        assert part in said


def test_info_says_what_the_vocabulary_takes(modelkiln_command: Any, table_artifact: Path) -> None:
    words = len(modelkiln.load(table_artifact).word.vocabulary)
    megabytes = sum(path.stat().st_size for path in (table_artifact / "vocabulary").iterdir()) / 1e6
    said = modelkiln_command("info", table_artifact).stdout
    assert f"{words} words, encoded when it was compiled, {megabytes:.1f} MB" in said


def test_verify_tells_good_from_altered(modelkiln_command: Any, tiny_artifact: Path, tmp_path: Path) -> None:
    done = modelkiln_command("verify", tiny_artifact)
    assert (done.returncode, "4 files, all as they were compiled" in done.stdout) == (0, True)
    copy = shutil.copytree(tiny_artifact, tmp_path / "copy")
    (copy / "tokenizer.json").write_text("{}")
    assert "tokenizer.json has 2 bytes" in refused(modelkiln_command("verify", copy))


def test_verdict_prints_figures_and_exits_by_the_verdict(
    modelkiln_command: Any, tiny_artifact: Path, tmp_path: Path
) -> None:
    verdict = earned(read_manifest(tiny_artifact))

    def said(**changes: Any) -> Any:
        write_text(tmp_path / "verdict.json", to_json(asdict(replace(verdict, **changes))))
        return modelkiln_command("verdict", "verdict.json", "--artifact", tiny_artifact)

    done = said()
    assert done.returncode == 0
    number = len(verdict.applicable())
    assert re.search(r"vectors: real texts\[document\]: min_cosine +0\.9999 +at least 0\.9999\n", done.stdout)
    assert f"\n{number} of {number} checks passed\npassed: artifact " in done.stdout
    done = said(passed=False, checks=[Check("vectors: real texts[document]", "failed", reason="min_cosine is low")])
    assert done.returncode == 1
    assert done.stderr == "modelkiln: the verdict is negative: vectors: real texts[document]: min_cosine is low\n"
    assert "not believed: its verdict was not earned: " in said(checks=verdict.checks[1:]).stderr
    assert "not believed: its verdict is of artifact 0000" in said(artifact="0" * 64).stderr
    assert "can't read the verdict" in refused(modelkiln_command("verdict", "absent.json"))


def test_compose_writes_and_checks(modelkiln_command: Any, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    assert modelkiln_command("compose", "env=prod").returncode == 0
    assert modelkiln_command("compose", "--check", "env=prod").returncode == 0
    assert "upload.alias: 'challenger', conf/ says 'champion'" in modelkiln_command("compose", "--check").stderr
    before = (tmp_path / "params.yaml").read_text()
    assert "backend/nope" in refused(modelkiln_command("compose", "backend=nope"))
    assert (tmp_path / "params.yaml").read_text() == before


def test_where_needs_a_run(modelkiln_command: Any) -> None:
    assert "no artifact here" in refused(modelkiln_command("where"))
