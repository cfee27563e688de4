"""What people read: a tree on a terminal, lines elsewhere, and nothing left out for being unknown."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict, fields, replace

import pytest
from lineage.project import Project, verdict_of

from modelkiln.bounds import STRICT
from modelkiln.cli.lineage import lineage
from modelkiln.lineage import Chain, Held, Unknown
from modelkiln.lineage.tree import lines, nodes, show


def text(chain: Chain) -> str:
    return "\n".join(lines(nodes(chain)))


def test_tree_has_every_link_of_the_chain(project: Project, registered_chain: Chain) -> None:
    found = text(registered_chain).splitlines()
    md5 = registered_chain.run.dvc_lock_md5
    checks = verdict_of(project.digest)["checks"]
    passed = sum(check["outcome"] == "passed" for check in checks)
    for line in (
        f"artifact {project.digest}",
        "  source tiny (base)",
        "    compile",
        "      max_batch 8",
        "  compiled for generic fp32, for keywords",
        "    toolchain python 3.11, scikit-learn 1.9.1, torch 2.13.0",
        "  3 files",
        "  verdict positive",
        f"    {passed} of {passed} checks passed, {len(checks) - passed} not applicable",
        "    bounds " + ", ".join(f"{name} {value}" for name, value in sorted(asdict(STRICT).items())),
        f"    golden samples sha256 {'1' * 64}",
        f"    corpus sha256 {'1' * 64}",
        f"  git commit {project.code}",
        f"  dvc.lock md5 {md5}",
        "    in this folder",
        "  signature unknown: mlflow:keywords/1 was registered without",
        "      mlflow:keywords/1 (champion), at sqlite:///registry/mlflow.db",
    ):
        assert line in found, line
    assert any(line.startswith("    neptune unknown: Neptune: ") for line in found)
    files = [line for line in found if "tokenizer.json 2 bytes, sha256 " in line]
    assert len(files) == 1
    (components,) = [line for line in found if line.startswith("  serving needs")]
    assert components == f"  serving needs {len(registered_chain.serving)} components, listed in sbom.json"  # type: ignore[arg-type]


def test_what_is_unknown_has_its_line(registered_chain: Chain) -> None:
    parts = {
        field.name: Unknown(f"no {field.name}")
        for field in fields(Chain)
        if "Unknown" in str(field.type) and field.name != "verdict_sha256"
    }
    run = replace(
        registered_chain.run,
        git_commit=Unknown("no commit"),
        git_clean="unknown",
        dvc_lock_md5=Unknown("no lock"),
        recorded=Unknown("no place"),
    )
    bare = replace(registered_chain, **parts, run=run, held=(Held("mlflow", (), Unknown("down")),), notes=("odd",))
    found = text(bare)
    for reason in ("digest", "manifest", "serving", "signature", "params", "verdict", "commit", "lock", "place"):
        assert f"unknown: no {reason}" in found, reason
    assert "    mlflow unknown: down" in found.splitlines()
    assert "  note: odd" in found.splitlines()


def test_registry_without_it_says_what_was_looked_for(registered_chain: Chain) -> None:
    found = text(replace(registered_chain, held=(Held("mlflow", ("keywords", "words"), ()),)))
    assert "      no version of keywords or words is this artifact" in found.splitlines()


def test_source_and_its_files_may_be_unknown_by_themselves(registered_chain: Chain) -> None:
    unknown = Unknown("gone")
    found = text(replace(registered_chain, source_files=unknown, source_version=unknown)).splitlines()
    assert {"    files unknown: gone", "    registered unknown: gone"} <= set(found)


@pytest.mark.parametrize(
    ("clean", "end"),
    [("yes", ""), ("no", ", with changes that were not committed"), ("unknown", ", clean or not: unknown")],
)
def test_code_that_was_changed_is_said(clean: str, end: str, registered_chain: Chain) -> None:
    run = replace(registered_chain.run, git_clean=clean)
    assert f"  git commit {run.git_commit}{end}" in text(replace(registered_chain, run=run)).splitlines()


def test_library_that_was_not_installed_is_named(registered_chain: Chain) -> None:
    found = text(replace(registered_chain, serving={"torch": "2.13.0", "torch-neuron": None}))
    assert "serving needs 2 components, listed in sbom.json, 1 of them not installed: torch-neuron" in found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_a_tree_and_anything_else_gets_lines(
    registered_chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No colours, no frames and no broken lines where another program reads."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        show(registered_chain)
    assert pipe.getvalue() == text(registered_chain) + "\n"
    assert "├── \x1b[1msource\x1b[0m tiny (base)" in terminal.getvalue()


def test_what_looks_like_markup_is_printed_as_it_stands(
    registered_chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    show(replace(registered_chain, notes=("[bold]/3[/bold]",)))
    assert "[bold]/3[/bold]" in sys.stdout.getvalue()  # type: ignore[attr-defined]


def test_command_prints_lines_or_json(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lineage("artifacts/compiled")
    found = capsys.readouterr().out
    assert found.startswith(f"artifact {project.digest}\n  source tiny (base)\n")
    assert "  receipts/upload.json: version 1 of keywords at sqlite:///registry/mlflow.db\n" in found
    lineage("artifacts/compiled", as_json=True, builder="https://ci.example/team")
    assert '"id": "https://ci.example/team"' in capsys.readouterr().out
