"""sbom.json is valid CycloneDX, lists what serving needs as it is installed, and says the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from imports import closure

from modelkiln import ModelkilnError, distributions, sbom
from modelkiln.artifact import SBOM, read_manifest
from modelkiln.files import to_json

RENDER = (
    "from modelkiln import distributions, sbom; import sys\n"
    "found = distributions.closure(sbom.roots(['onnxruntime']))\n"
    "sys.stdout.write(sbom.render('tiny', 'abc', {'backend': 'onnxruntime', 'task': 'keywords'}, '3.11', found))"
)


@pytest.fixture(scope="module")
def written(tiny_artifact: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tiny_artifact / SBOM).read_text())
    return found


def needs(written: dict[str, Any], ref: str) -> set[str]:
    (found,) = [each for each in written["dependencies"] if each["ref"] == ref]
    return set(found.get("dependsOn", ()))


def check(text: str) -> None:
    """Holds it to the published schema, with no field that this has not."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    mistake = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert mistake is None, mistake


def test_file_of_an_artifact_is_valid(tiny_artifact: Path) -> None:
    check((tiny_artifact / SBOM).read_text())


def test_serving_needs_modelkiln_the_backends_runtime_and_an_interpreter(written: dict[str, Any]) -> None:
    assert needs(written, "artifact") == {"modelkiln", "python", "torch"}
    assert needs(written, "modelkiln") == {"numpy", "rich", "tokenizers", "typer"}
    assert "sympy" in needs(written, "torch")


def test_libraries_have_the_versions_that_are_installed(written: dict[str, Any], tiny_artifact: Path) -> None:
    listed = {each["name"]: each for each in written["components"]}
    assert listed["python"]["version"] == read_manifest(tiny_artifact).toolchain["python"]
    # What only compiling or judging needs is none of it.
    assert not {"transformers", "keybert", "dvc", "pytest", "scikit-learn"} & set(listed)
    for name, component in listed.items():
        if name != "python":
            version = metadata.version(name).split("+")[0]
            assert (component["version"], component["purl"]) == (version, f"pkg:pypi/{name}@{version}")
    assert listed["tqdm"]["licenses"] == [{"expression": "MPL-2.0 AND MIT"}]
    assert listed["click"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]


def test_every_dependency_is_listed(written: dict[str, Any]) -> None:
    refs = {each["bom-ref"] for each in written["components"]} | {written["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in written["dependencies"]} == refs
    assert set.union(*(needs(written, ref) for ref in refs)) | {"artifact"} == refs


def test_subject_is_the_model(written: dict[str, Any], tiny_artifact: Path) -> None:
    manifest = read_manifest(tiny_artifact)
    subject = written["metadata"]["component"]
    assert (subject["name"], subject["version"]) == (manifest.source["model"], manifest.source["revision"])
    assert {each["name"]: each["value"] for each in subject["properties"]} == {
        "modelkiln:backend": "generic",
        "modelkiln:precision": "fp32",
        "modelkiln:task": "keywords",
    }


def test_says_the_same_whatever_the_order_of_sets(tmp_path: Path) -> None:
    """And holds no time: the two are made one after the other."""
    texts = [
        subprocess.run(
            [sys.executable, "-c", RENDER], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    assert "timestamp" not in texts[0]
    check(texts[0])


def test_serial_number_is_another_one_for_anything_else() -> None:
    found = distributions.closure(sbom.roots(["torch"]))
    first, again, other = (
        json.loads(sbom.render("tiny", revision, {}, "3.11", found))["serialNumber"] for revision in ("a", "a", "b")
    )
    assert first == again != other


def test_library_that_is_not_installed_is_listed_without_a_version() -> None:
    text = sbom.render("tiny", "abc", {}, "3.10", distributions.closure(sbom.roots(["torch_neuron"])))
    check(text)
    assert sbom.read(text)["torch-neuron"] is None
    assert sbom.read(text)["python"] == "3.10"


def test_several_licenses_are_names() -> None:
    found = {
        "artifact": {"requires": ["one"]},
        "modelkiln": {"requires": []},
        "one": {"version": "1", "licenses": ["MIT", "Public Domain"], "requires": []},
    }
    text = sbom.render("tiny", "abc", {}, "3.11", found)
    check(text)
    (one,) = [each for each in json.loads(text)["components"] if each["name"] == "one"]
    assert one["licenses"] == [{"license": {"name": "MIT"}}, {"license": {"name": "Public Domain"}}]


def test_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cyclonedx.output.json", None)
    with pytest.raises(ModelkilnError, match=r"cyclonedx-python-lib: pip install 'modelkiln\[compile\]'"):
        sbom.roots(["torch"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"components": 5}', '{"components": [{"version": "1"}]}'])
def test_damaged_file_is_one_line(text: str) -> None:
    with pytest.raises(ModelkilnError, match=r"sbom\.json is damaged"):
        sbom.read(text)


def test_serving_imports_nothing_of_it() -> None:
    """The image `serve` has none of the libraries."""
    served = [Path("modelkiln") / name for name in ("__init__.py", "encoder.py", "backends/onnxruntime.py")]
    runs = closure(*served, Path("modelkiln/tasks/keywords.py"), Path("modelkiln/batch/job.py"))
    assert Path("modelkiln/keywords/extractor.py") in runs
    # Signatures are looked at only where a key is given.
    assert not {Path("modelkiln") / f"{name}.py" for name in ("distributions", "sbom")} & runs
    assert not [path for path in runs if "lineage" in path.parts]


def edited(text: str, name: str, **changes: Any) -> str:
    """The text with a component changed, and the serial number that goes with it."""
    data = json.loads(text)
    del data["serialNumber"]
    (component,) = [each for each in data["components"] if each["name"] == name]
    component.update(changes)
    return to_json({**data, "serialNumber": uuid.uuid5(sbom.NAMESPACE, to_json(data)).urn})


def test_two_lists_differ_by_name_version_and_all_else(tiny_artifact: Path) -> None:
    text = (tiny_artifact / SBOM).read_text()
    assert sbom.differences(text, text) == []
    (line,) = sbom.differences(edited(text, "numpy", version="0.9"), text)
    assert line.startswith("numpy is 0.9, expected ")
    assert sbom.differences(edited(text, "numpy", licenses=[]), text) == [
        "the same components, and something else about them"
    ]
    other = json.loads(text) | {"serialNumber": "urn:uuid:00000000-0000-0000-0000-000000000000"}
    assert len(sbom.differences(json.dumps(other), text)) == 1
    lacking = json.loads(text)
    lacking["components"] = [each for each in lacking["components"] if each["name"] != "numpy"]
    assert "numpy is not listed, expected " in sbom.differences(json.dumps(lacking), text)[0]
    assert "damaged" in sbom.differences("{", text)[0]


def test_release_that_compiles_nothing_anew_leaves_a_list_as_it_is(tiny_artifact: Path) -> None:
    text = (tiny_artifact / SBOM).read_text()
    assert sbom.differences(edited(text, "modelkiln", version="9.9", purl="pkg:pypi/modelkiln@9.9"), text) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"version": "9.9"},  # its address names another one
        {"purl": "pkg:npm/left-pad@6.6.6?payload=x"},
        {"version": "x" * 500, "purl": f"pkg:pypi/modelkiln@{'x' * 500}"},
        {"version": {"a": 1}, "purl": [1]},
    ],
)
def test_own_version_has_room_for_nothing_else(lie: dict[str, Any], tiny_artifact: Path) -> None:
    text = (tiny_artifact / SBOM).read_text()
    assert sbom.differences(edited(text, "modelkiln", **lie), text) == [
        "the same components, and something else about them"
    ]
