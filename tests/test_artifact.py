"""An artifact that is not, to the byte, what was compiled is refused before anything in it is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.artifact import MANIFEST, graph_digest, read_manifest, verify
from modelkiln.files import relative_files


@pytest.fixture
def copy(tiny_artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))


def edit_manifest(folder: Path, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    data = json.loads((folder / MANIFEST).read_text())
    edit(data)
    (folder / MANIFEST).write_text(json.dumps(data))


def test_good_artifact_is_the_same_anywhere(copy: Path, tiny_artifact: Path) -> None:
    assert verify(copy) == read_manifest(tiny_artifact)


def test_manifest_says_what_it_is(tiny_artifact: Path) -> None:
    manifest = read_manifest(tiny_artifact)
    assert (manifest.task, manifest.backend, manifest.precision, manifest.dimension) == (
        "keywords",
        "generic",
        "fp32",
        32,
    )
    assert manifest.source["model"] == "tiny"
    assert len(manifest.source["revision"]) == 64
    assert manifest.toolchain["torch"] == "2.13.0"
    assert manifest.machine is None  # TorchScript runs wherever torch runs
    assert set(manifest.files) == {"graphs/encoder.pt", "tokenizer.json", "task/stop_words.json", "sbom.json"}


@pytest.mark.heavy  # the default backend's are compared each time
def test_two_compiles_give_the_same_bytes(tiny_artifact: Path, tiny_source: Path, tmp_path: Path) -> None:
    from compiling import compile_generic

    again = compile_generic(tiny_source, tmp_path / "again", 48)
    assert read_manifest(again).digest == read_manifest(tiny_artifact).digest


def test_no_file_names_a_folder_of_the_machine_that_compiled_it(tiny_artifact: Path, tiny_source: Path) -> None:
    for name in relative_files(tiny_artifact):
        data = (tiny_artifact / name).read_bytes()
        for folder in ("site-packages", sys.prefix, str(Path(modelkiln.__file__).parents[1]), str(tiny_source.parent)):
            assert folder.encode() not in data, f"{name} names {folder}"


def test_digest_of_a_graph_covers_what_lies_beside_it_and_nothing_else() -> None:
    files = {"graphs/encoder.xml": "1", "graphs/encoder.bin": "2", "tokenizer.json": "3"}
    digest = graph_digest("graphs/encoder.xml", files)
    assert digest == graph_digest("graphs/encoder.xml", {**files, "tokenizer.json": "4"})
    assert digest != graph_digest("graphs/encoder.xml", {**files, "graphs/encoder.bin": "4"})
    assert digest != graph_digest("graphs/encoder.xml", {**files, "graphs/encoder.xml": "4"})


def test_one_flipped_byte_in_any_file_is_found(copy: Path) -> None:
    for name in relative_files(copy):
        good = (copy / name).read_bytes()
        for place in (0, len(good) // 2, len(good) - 1):
            altered = bytearray(good)
            altered[place] ^= 1
            (copy / name).write_bytes(altered)
            with pytest.raises(ModelkilnError):
                verify(copy)
        (copy / name).write_bytes(good)
    verify(copy)


def test_truncated_file_is_named_with_both_sizes(copy: Path) -> None:
    graph = copy / "graphs" / "encoder.pt"
    size = graph.stat().st_size
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(ModelkilnError, match=rf"graphs/encoder\.pt has {size - 100} bytes, expected {size}"):
        verify(copy)


def test_all_mistakes_are_named_at_once(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "extra.py").write_text("print('hello')")
    with pytest.raises(
        ModelkilnError, match=r"(?s)2 mistakes.*tokenizer\.json is missing.*extra\.py is not in the manifest"
    ):
        verify(copy)


def test_other_digest_than_the_expected_is_refused(copy: Path) -> None:
    with pytest.raises(ModelkilnError, match="expected 0000"):
        verify(copy, "0" * 64)


def test_manifest_edited_by_hand_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda data: data.update(precision="int8"))
    with pytest.raises(ModelkilnError, match="the manifest was altered"):
        verify(copy)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "code": "os.system"}']
)
def test_manifest_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(ModelkilnError, match=r"manifest\.json: (the manifest is damaged|format)"):
        verify(copy)


def test_folder_without_an_artifact_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="no artifact here"):
        modelkiln.load(tmp_path)


def sealed(folder: Path, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Edits the manifest, and makes its digest anew, as who means harm does."""
    data = json.loads((folder / MANIFEST).read_text())
    edit(data)
    digest = data.pop("digest")
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    data["digest"] = hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest() if digest else digest
    (folder / MANIFEST).write_text(json.dumps(data))


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside", "", "."])
def test_path_in_the_manifest_can_not_lead_out(path: str, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    file = json.loads((copy / MANIFEST).read_text())["files"]["tokenizer.json"]
    for edit in (
        lambda data: data["files"].update({path: file}),
        lambda data: data["encoders"]["word"].update(vocabulary=path),
        lambda data: data["encoders"]["word"].update(graph=path),
    ):
        sealed(copy, edit)
        with pytest.raises(ModelkilnError, match="points outside the artifact"):
            verify(copy)


def link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: pipe(folder / "tokenizer.json"), "tokenizer.json is no file"),
        (lambda folder: pipe(folder / MANIFEST), "can't read the manifest: not a regular file"),
        (lambda folder: link(folder / "tokenizer.json", Path("/dev/zero")), "is a link to /dev/zero, which nothing"),
        (lambda folder: link(folder / MANIFEST, Path("/dev/zero")), "can't read the manifest: not a regular file"),
        (lambda folder: link(folder / "tokenizer.json", Path("nowhere")), "a link to what is no longer there; bring"),
        (lambda folder: link(folder / MANIFEST, Path("nowhere")), "a link to what is no longer there; bring it back"),
        (lambda folder: (folder / "empty").mkdir(), "the folder empty is not in the manifest"),
        (lambda folder: (folder / "more").symlink_to("task"), "the folder more (a link) is not in the manifest"),
        (
            lambda folder: os.truncate(folder / MANIFEST, 3 << 30),
            "the manifest has 3221 MB, expected 17 MB at the most",
        ),
    ],
)
def test_what_is_no_file_of_an_artifact_is_refused_at_once(spoil: Any, said: str, copy: Path) -> None:
    spoil(copy)
    for read in (verify, modelkiln.load):
        with pytest.raises(ModelkilnError, match=re.escape(said)):
            read(copy)


def test_link_to_a_file_outside_is_refused_and_one_to_the_cache_of_dvc_is_not(copy: Path, tmp_path: Path) -> None:
    tokenizer = copy / "tokenizer.json"
    outside = tmp_path / "tokenizer.json"
    shutil.copy(tokenizer, outside)
    link(tokenizer, outside)
    with pytest.raises(ModelkilnError, match=r"is a link to .*, which nothing vouches for; copy the file here"):
        verify(copy)
    cached = tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    outside.rename(cached)
    link(tokenizer, cached)
    verify(copy)


@pytest.mark.parametrize("how", ["replaced", "written to"])
def test_file_that_changes_while_it_is_loaded_is_refused(how: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelkiln import encoder

    load = encoder.load_encoders

    def load_and_change(*arguments: Any) -> Any:
        loaded = load(*arguments)
        path = copy / "task" / "stop_words.json"
        if how == "replaced":
            shutil.copy(path, copy.parent / "other")
            os.replace(copy.parent / "other", path)
        else:
            path.write_bytes(path.read_bytes())
        return loaded

    monkeypatch.setattr(encoder, "load_encoders", load_and_change)
    with pytest.raises(ModelkilnError, match=r"changed while it was loaded; load it again: task/stop_words\.json"):
        modelkiln.load(copy)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data.update(options=deep(900)), "manifest"),
        (lambda data: data.update(options={"strict": True, "fast": 1}), "options.fast: unknown key"),
        (lambda data: data.update(options={"strict": "yes"}), "options.strict: expected true or false, found 'yes'"),
        (lambda data: data.update(options=[1]), "options: expected a mapping, found [1]"),
        (lambda data: data.update(toolchain=3), "toolchain: expected a mapping, found 3"),
        (lambda data: data.update(source="x"), "source: expected a mapping, found 'x'"),
        (lambda data: data.update(machine=[]), "machine: expected a mapping, found []"),
        (lambda data: data.update(precision="int3"), "precision 'int3', expected one of fp32"),
        (lambda data: data.update(encoders={}), "there are no encoders"),
        (lambda data: data.update(dimension=33), "it gives vectors of (32,), expected 33 dimensions"),
        (lambda data: data.update(dimension=0), "dimension 0 has to be 1 or more"),
        (lambda data: data.update(dimension=True), "dimension: expected a whole number, found True"),
        (lambda data: data["encoders"]["word"].update(graph=3), "encoders.word.graph: expected text, found 3"),
        (lambda data: data["encoders"]["word"].update(vocabulary=["a"]), "vocabulary: expected text, found ['a']"),
        (lambda data: data["encoders"]["word"].update(layout="packed"), "is not what the manifest says of it, layout"),
        (lambda data: data["encoders"]["word"].update(max_length=-5), "max_length -5 have to be 1 or more"),
        (lambda data: data["encoders"]["word"].update(max_batch=-1), "max_batch -1 and max_length"),
        (lambda data: data["encoders"].pop("word"), "the task keywords needs the encoders document and word"),
        (lambda data: data["files"]["tokenizer.json"].update(size="9"), "size: expected a whole number, found '9'"),
        (lambda data: data["files"]["tokenizer.json"].update(sha256="9"), "no size and sha256 of a file"),
    ],
)
def test_manifest_of_wrong_types_is_one_line(edit: Any, said: str, copy: Path) -> None:
    sealed(copy, edit)
    with pytest.raises(ModelkilnError) as raised:
        modelkiln.load(copy)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_altered_artifact_is_refused_before_torch_is_even_imported(copy: Path) -> None:
    graph = copy / "graphs" / "encoder.pt"
    graph.write_bytes(b"x" * graph.stat().st_size)
    script = (
        "import sys, modelkiln\n"
        "try: modelkiln.load(sys.argv[1])\n"
        "except modelkiln.ModelkilnError as error: print('refused', 'torch' in sys.modules, error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(copy)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused False")
    assert "graphs/encoder.pt was altered" in done.stdout


def test_carries_nothing_of_the_original_weights(tiny_artifact: Path) -> None:
    assert not [name for name in relative_files(tiny_artifact) if name.endswith((".safetensors", ".bin"))]
