"""A newer revision on the hub is found, counts only where a pinned file is another one, and is pinned as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from imports import ROOT
from sources import hub_server
from sources.hub_server import COMMIT, NEWER, REPO, Hub

from modelkiln.files import sha256
from modelkiln.sources.hub import Options

MODEL = "paraphrase-multilingual-MiniLM-L12-v2"


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path) -> Iterator[Hub]:
    """Its branch has gone on to NEWER, where nothing is another one yet."""
    with hub_server.serve(tiny_model) as running:
        running.newer = Path(shutil.copytree(tiny_model, tmp_path / "newer"))
        yield running


@pytest.fixture
def conf(tmp_path: Path, tiny_model: Path) -> Path:
    """conf/ with one model from the hub: the tiny one, at COMMIT, two of its files pinned."""
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    option = conf / "model" / f"{MODEL}.yaml"
    data = yaml.safe_load(option.read_text())
    pins = {name: sha256(tiny_model / name) for name in ("config.json", "model.safetensors")}
    data["download"] |= {"sources": {"hub": {"repo": REPO, "revision": COMMIT}}, "files": pins}
    option.write_text("# @package _global_\n# a comment that stays\n" + yaml.safe_dump(data))
    return conf


def revisions(hub: Hub, conf: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: huggingface_hub reads HF_HUB_OFFLINE when it is imported."""
    ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(conf.parent / "home"), "PYTHONPATH": str(ROOT)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-m", "modelkiln.cli", "revisions", *arguments],
        cwd=conf.parent,
        env={**inherited, **ours, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_changed_file_is_named_and_pinned_with_the_commit(hub: Hub, conf: Path) -> None:
    assert hub.newer
    (hub.newer / "config.json").write_text("{}")
    (hub.newer / "README.md").write_text("of no account")
    option = conf / "model" / f"{MODEL}.yaml"
    before = option.read_text()
    done = revisions(hub, conf, "--write")
    assert done.stdout.splitlines() == [
        f"{MODEL}: {REPO} is at {NEWER}, and other than at {COMMIT} are config.json",
        f"wrote conf/model/{MODEL}.yaml",
    ]
    after = before.replace(COMMIT, NEWER).replace(sha256(hub.folder / "config.json"), sha256(hub.newer / "config.json"))
    assert option.read_text() == after
    # Nothing but the changed file was downloaded.
    assert {request.path for request in hub.requests if "/resolve/" in request.path} == {
        f"/{REPO}/resolve/{NEWER}/config.json"
    }
    again = revisions(hub, conf, "--write")
    assert again.stdout == f"{MODEL}: {REPO} is still at {NEWER}\n"


def test_revision_with_the_same_files_changes_nothing(hub: Hub, conf: Path) -> None:
    assert hub.newer
    (hub.newer / "README.md").write_text("of no account")
    before = (conf / "model" / f"{MODEL}.yaml").read_text()
    done = revisions(hub, conf, "--write")
    assert done.stdout == f"{MODEL}: {REPO} is at {NEWER}, with the same files as at {COMMIT}\n"
    assert (conf / "model" / f"{MODEL}.yaml").read_text() == before


def test_without_write_nothing_is_written(hub: Hub, conf: Path) -> None:
    assert hub.newer
    (hub.newer / "model.safetensors").write_bytes(b"other weights")
    before = (conf / "model" / f"{MODEL}.yaml").read_text()
    done = revisions(hub, conf)
    assert done.stdout.endswith(" are model.safetensors\n")
    assert (conf / "model" / f"{MODEL}.yaml").read_text() == before


def test_file_that_is_gone_is_one_line_and_nothing_is_written(hub: Hub, conf: Path) -> None:
    assert hub.newer
    (hub.newer / "config.json").unlink()
    before = (conf / "model" / f"{MODEL}.yaml").read_text()
    done = revisions(hub, conf, "--write")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("modelkiln: ")]
    assert "config.json" in line
    assert (conf / "model" / f"{MODEL}.yaml").read_text() == before


def test_hub_that_may_not_be_reached_is_one_line(hub: Hub, conf: Path) -> None:
    done = revisions(hub, conf, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout, hub.requests) == (1, "", [])
    assert "HF_HUB_OFFLINE forbids to reach the hub" in done.stderr


def test_digest_that_stands_there_twice_is_left_to_a_person(
    hub: Hub, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelkiln import ModelkilnError, revisions
    from modelkiln.sources import hub as source

    monkeypatch.setattr(source, "fetch", lambda dest, *_: (dest / "config.json").write_text("{}"))
    option = conf / "model" / f"{MODEL}.yaml"
    option.write_text(f"{option.read_text()}# {COMMIT}\n")
    before = option.read_text()
    seen = revisions.Look(option, Options(REPO, COMMIT), NEWER, ["config.json"], {"config.json": None})
    with pytest.raises(ModelkilnError, match=f"expected {COMMIT} there once"):
        revisions.pin(seen)
    assert option.read_text() == before
