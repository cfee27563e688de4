"""An artifact that is not, to the byte, what was compiled is refused before anything in it is loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


def test_path_in_the_manifest_can_not_lead_out(copy: Path, tmp_path: Path) -> None:
    from dataclasses import asdict, replace

    from modelkiln.artifact import content_digest
    from modelkiln.files import to_json, write_text

    (tmp_path / "outside").write_text("secret")
    manifest = read_manifest(copy)
    evil = replace(manifest, files={**manifest.files, "../outside": manifest.files["tokenizer.json"]})
    write_text(copy / MANIFEST, to_json(asdict(replace(evil, digest=content_digest(evil)))))
    with pytest.raises(ModelkilnError, match="points outside the artifact"):
        verify(copy)


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
