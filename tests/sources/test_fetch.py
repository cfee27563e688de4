"""Whatever the source: only what the config pins is let in, and neither pickles nor code."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports import ROOT

from modelkiln import ModelkilnError, sources
from modelkiln.files import read_json, relative_files, sha256, staged_folder, to_json, write_text
from modelkiln.params import Download
from modelkiln.sources import Revision

MINILM = ROOT / "conf" / "model" / "all-MiniLM-L6-v2.yaml"
REFUSED = [".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".npz", ".py", ".pyc", ".so", ".BIN", ".Py"]
REFUSED += [".dll", ".sh", ".exe", ".zip", ".onnx", ".jar", ""]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with as much of a model as the download stage looks at."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="module")
def minilm() -> dict[str, Any]:
    """The `download` section of the default model's config."""
    section: dict[str, Any] = yaml.safe_load(MINILM.read_text())["download"]
    return section


def fetch(folder: Path, dest: Path, files: dict[str, str | None]) -> Revision:
    dest.mkdir()
    return sources.fetch(Download("tiny", "base", "local", {"local": {"path": str(folder)}}, files), dest)


def failure(folder: Path, dest: Path, files: dict[str, str | None]) -> str:
    with pytest.raises(ModelkilnError) as caught:
        fetch(folder, dest, files)
    return str(caught.value)


def test_files_that_match_their_pins_are_let_in(model: Path, tmp_path: Path) -> None:
    digests = {name: sha256(model / name) for name in ("config.json", "model.safetensors")}
    expected = Revision("tiny", "base", "local", "model", fetch(model, tmp_path / "unpinned", {}).revision, digests)
    assert fetch(model, tmp_path / "pinned", dict(digests)) == expected


def test_wrong_sha256_is_one_line_with_both_digests(model: Path, tmp_path: Path) -> None:
    found = sha256(model / "config.json")
    message = failure(model, tmp_path / "dest", {"config.json": "0" * 64, "model.safetensors": None})
    assert message == (
        f"tiny from local is not the model that the config pins: config.json has sha256 {found}, expected {'0' * 64}"
    )


def test_all_wrong_files_are_listed_at_once(model: Path, tmp_path: Path) -> None:
    (model / "fine.json").write_text("{}")
    pins: dict[str, str | None] = {"config.json": "0" * 64, "model.safetensors": "1" * 64}
    pins["fine.json"] = sha256(model / "fine.json")
    title, *mistakes = failure(model, tmp_path / "dest", pins).splitlines()
    assert title == "tiny from local is not the model that the config pins: 2 mistakes:"
    assert mistakes == [
        f"  - {name} has sha256 {sha256(model / name)}, expected {pins[name]}"
        for name in ("config.json", "model.safetensors")
    ]


def test_file_without_a_pin_may_be_anything(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text("other")
    assert set(fetch(model, tmp_path / "dest", {"config.json": None, "model.safetensors": None}).files) == {
        "config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize("suffix", REFUSED)
def test_pickles_and_code_are_refused_where_they_are_listed(suffix: str, model: Path, tmp_path: Path) -> None:
    name = f"deep/weights{suffix}"
    (model / "deep").mkdir()
    (model / name).write_bytes(b"weights")
    message = failure(model, tmp_path / "dest", {name: sha256(model / name)})
    assert message.startswith("refused: modelkiln takes weights as safetensors only, and no code (convert with ")
    assert message.endswith(f": {name}")
    assert len(message.splitlines()) == 1
    assert relative_files(tmp_path / "dest") == []


@pytest.mark.parametrize("suffix", REFUSED)
def test_pickles_and_code_are_refused_where_they_are_brought(suffix: str, model: Path, tmp_path: Path) -> None:
    (model / f"extra{suffix}").write_bytes(b"weights")
    message = failure(model, tmp_path / "dest", {})
    assert message.startswith("refused: modelkiln takes weights as safetensors only, and no code")
    assert message.endswith(f": extra{suffix}")


def test_all_refused_files_are_listed_at_once(model: Path, tmp_path: Path) -> None:
    (model / "modeling.py").write_text("")
    (model / "pytorch_model.bin").write_text("")
    assert failure(model, tmp_path / "dest", {}).splitlines()[1:] == ["  - modeling.py", "  - pytorch_model.bin"]


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_folder_without_config_or_weights_is_no_model(lacking: str, model: Path, tmp_path: Path) -> None:
    (model / lacking).unlink()
    (there,) = relative_files(model)
    expected = f"tiny: no model there (config.json and *.safetensors); found ['{there}']"
    assert failure(model, tmp_path / "dest", {}) == expected


@pytest.mark.parametrize(
    "name", ["../secret.json", "/etc/passwd", "a/../../secret.json", "./config.json", "..\\secret.json", "C:secret", ""]
)
def test_listed_path_that_leads_outside_is_refused(name: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    message = failure(model, tmp_path / "dest", {"config.json": None, name: None})
    assert message == f"download.files: {name!r} points outside the model's folder"
    assert relative_files(tmp_path / "dest") == []


def test_all_listed_paths_that_lead_outside_are_named_at_once(model: Path, tmp_path: Path) -> None:
    message = failure(model, tmp_path / "dest", {"../a": None, "config.json": None, "/b": None})
    assert message.splitlines()[1:] == [
        "  - '../a' points outside the model's folder",
        "  - '/b' points outside the model's folder",
    ]


def test_earlier_download_can_be_the_source(model: Path, tmp_path: Path) -> None:
    """It brings a revision.json of its own, and the new one tells the digests of what lies there in the end."""
    for source, dest in ((model, tmp_path / "first"), (tmp_path / "first", tmp_path / "second")):
        with staged_folder(dest) as folder:
            download = Download("tiny", "base", "local", {"local": {"path": str(source)}})
            write_text(folder / sources.REVISION, to_json(asdict(sources.fetch(download, folder))))
    digests = read_json(tmp_path / "second" / sources.REVISION, "the source's revision")["files"]
    assert digests == {name: sha256(tmp_path / "second" / name) for name in digests}


def test_revision_can_be_written_as_json(model: Path, tmp_path: Path) -> None:
    revision = fetch(model, tmp_path / "dest", {})
    assert Revision(**json.loads(to_json(asdict(revision)))) == revision


def test_pins_of_the_default_config_hold_for_the_real_model(
    minilm: dict[str, Any], real_model: Path, tmp_path: Path
) -> None:
    download = Download(minilm["model"], "base", "local", {"local": {"path": str(real_model)}}, minilm["files"])
    assert sources.fetch(download, tmp_path).files == minilm["files"]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ],
)
def test_default_config_pins_the_published_file(name: str, digest: str, minilm: dict[str, Any]) -> None:
    assert minilm["files"][name] == digest


def test_default_config_pins_the_published_commit(minilm: dict[str, Any]) -> None:
    assert minilm["sources"]["hub"] == {
        "repo": "sentence-transformers/all-MiniLM-L6-v2",
        "revision": "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    }


@pytest.mark.parametrize("config", sorted((ROOT / "conf" / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_every_config_is_pinned(config: Path) -> None:
    files = yaml.safe_load(config.read_text())["download"]["files"]
    assert [name for name, pin in files.items() if not re.fullmatch(r"[0-9a-f]{64}", pin or "")] == []
    assert "config.json" in files
    assert any(name.endswith(".safetensors") for name in files)
