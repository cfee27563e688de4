"""`verify --provenance`: what a statement claims and is not so is named, line by line; nothing is taken on trust."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lineage.project import Project, verdict_of
from sealed import seal_artifact

from modelkiln import ModelkilnError
from modelkiln.cli.artifacts import verify
from modelkiln.files import to_json, write_text
from modelkiln.lineage import Chain
from modelkiln.lineage.comparison import verify_provenance
from modelkiln.lineage.statement import make_statement
from modelkiln.lineage.trace import trace

REF = "mlflow:keywords/1"
FOLDER = "artifacts/compiled"
Edit = Callable[[dict[str, Any]], object]
HeldAgainst = Callable[..., list[str]]


@pytest.fixture
def statement(registered_chain: Chain) -> dict[str, Any]:
    """Of the registered version; a copy that may be edited."""
    return copy.deepcopy(make_statement(registered_chain))


@pytest.fixture
def held_against(project: Project, tmp_path: Path) -> HeldAgainst:
    """Holds an artifact against a statement."""

    def run(claimed: Any, ref: str = FOLDER, digest: str = project.digest) -> list[str]:
        write_text(tmp_path / "provenance.json", to_json(claimed))
        return verify_provenance(ref, digest, tmp_path / "provenance.json")

    return run


def resource(claimed: dict[str, Any], name: str) -> dict[str, Any]:
    predicate = claimed["predicate"]
    listed = [
        *claimed["subject"],
        *predicate["buildDefinition"]["resolvedDependencies"],
        *predicate["runDetails"]["byproducts"],
    ]
    (found,) = [each for each in listed if each["name"] == name]
    return found  # type: ignore[no-any-return]


def params(claimed: dict[str, Any]) -> dict[str, Any]:
    return claimed["predicate"]["buildDefinition"]["externalParameters"]  # type: ignore[no-any-return]


def test_statement_of_the_artifact_itself_holds(
    statement: dict[str, Any], held_against: HeldAgainst, tmp_path: Path
) -> None:
    (line,) = held_against(statement, REF)
    assert line == (
        f"{REF}: as {tmp_path / 'provenance.json'} says: artifact, dvc.lock, file, git commit, graph, params, source, "
        "source files, toolchain, verdict"
    )


def sha256(name: str) -> Edit:
    return lambda claimed: resource(claimed, name)["digest"].update(sha256="0" * 64)


def uri(name: str, value: str) -> Edit:
    return lambda claimed: resource(claimed, name).update(uri=value)


def removed(name: str) -> Edit:
    def edit(claimed: dict[str, Any]) -> None:
        definition = claimed["predicate"]["buildDefinition"]
        claimed["subject"] = [each for each in claimed["subject"] if each["name"] != name]
        kept = [each for each in definition["resolvedDependencies"] if each["name"] != name]
        definition["resolvedDependencies"] = kept
        details = claimed["predicate"]["runDetails"]
        details["byproducts"] = [each for each in details["byproducts"] if each["name"] != name]

    return edit


def dependency(claimed: dict[str, Any]) -> list[dict[str, Any]]:
    return claimed["predicate"]["buildDefinition"]["resolvedDependencies"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (sha256("artifact"), r"artifact artifact: [0-9a-f]{64}, the statement says 0{64}"),
        (sha256("graphs/encoder.pt"), r"file graphs/encoder\.pt: [0-9a-f]{64}, the statement says 0{64}"),
        (sha256("manifest.json"), r"file manifest\.json: .* says 0{64}"),
        (sha256("sbom.json"), r"file sbom\.json: .* says 0{64}"),
        (removed("tokenizer.json"), r"file tokenizer\.json: [0-9a-f]{64}, the statement says nothing"),
        (removed("artifact"), r"artifact artifact: .* says nothing"),
        (
            lambda claimed: claimed["subject"].append({"name": "more.pt", "digest": {"sha256": "1" * 64}}),
            r"file more\.pt: nothing, the statement says 1{64}",
        ),
        (
            uri("source", "pkg:pypi/other@1"),
            r"source revision: modelkiln:local/tiny@\w+, the statement says pkg:pypi/oth",
        ),
        (removed("source"), r"source revision: .* says nothing"),
        (sha256("source/config.json"), r"source files config\.json: .* says 0{64}"),
        (removed("source/config.json"), r"source files config\.json: .* says nothing"),
        (
            uri("toolchain/torch", "pkg:pypi/torch@1.13.1"),
            r"toolchain torch: pkg:pypi/torch@2\.13\.0, .*/torch@1\.13\.1",
        ),
        (removed("toolchain/torch"), r"toolchain torch: .* says nothing"),
        (
            lambda claimed: resource(claimed, "git")["digest"].update(gitCommit="0" * 40),
            r"git commit sha1: [0-9a-f]{40}, the statement says 0{40}",
        ),
        (
            lambda claimed: resource(claimed, "git")["annotations"].update(clean="no"),
            r'git commit clean: "yes", the statement says "no"',
        ),
        (removed("git"), r"git commit (clean|sha1): .* says nothing"),
        (
            lambda claimed: resource(claimed, "dvc.lock")["digest"].update(dvcLockMd5="0" * 32),
            r"dvc\.lock md5: [0-9a-f]{32}, the statement says 0{32}",
        ),
        (sha256("verdict.json"), r"verdict sha256: .* says 0{64}"),
        (removed("verdict.json"), r"verdict passed: true, the statement says nothing"),
        (
            lambda claimed: resource(claimed, "verdict.json")["annotations"]["bounds"].update(min_cosine=0.5),
            r"verdict bounds\.min_cosine: 0\.9999, the statement says 0\.5",
        ),
        (
            lambda claimed: resource(claimed, "verdict.json")["annotations"]["checks"].update(more="passed"),
            r'verdict checks\.more: nothing, the statement says "passed"',
        ),
        (lambda claimed: params(claimed)["compile"].update(max_batch=9), r"params compile\.max_batch: 8, .* says 9"),
        (lambda claimed: params(claimed)["compile"].update(more=1), r"params compile\.more: nothing, .* says 1"),
        (lambda claimed: params(claimed)["compile"].pop("task"), r'params compile\.task: "keywords", .* says nothing'),
        (lambda claimed: params(claimed).pop("upload"), r"params upload\.\w+: .* says nothing"),
        (
            lambda claimed: claimed["predicate"]["buildDefinition"]["internalParameters"].update(dimension=1),
            r"graph dimension: 32, the statement says 1",
        ),
        (
            lambda claimed: dependency(claimed).append({"name": "more", "uri": "pkg:pypi/more@1"}),
            r"dependency more: nothing, the statement says ",
        ),
    ],
)
def test_claim_that_is_not_so_is_named(
    edit: Edit, line: str, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    edit(statement)
    # A folder by itself does not know by which run it was made.
    ref = REF if line.startswith(("git", "dvc", "params")) else FOLDER
    with pytest.raises(ModelkilnError, match=line) as raised:
        held_against(statement, ref)
    assert str(raised.value).startswith(f"{ref}: not what ")


def test_every_mismatch_is_a_line_of_its_own(statement: dict[str, Any], held_against: HeldAgainst) -> None:
    for name in ("artifact", "tokenizer.json", "verdict.json"):
        sha256(name)(statement)
    with pytest.raises(ModelkilnError) as raised:
        held_against(statement)
    title, *lines = str(raised.value).splitlines()
    assert title.endswith("3 mistakes:")
    assert [line.partition(":")[0] for line in lines] == [
        "  - artifact artifact",
        "  - file tokenizer.json",
        "  - verdict sha256",
    ]


def test_statement_of_another_artifact_is_refused(
    project: Project, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    digest = seal_artifact(project.folder / "other").digest
    with pytest.raises(ModelkilnError, match=rf"artifact artifact: {digest}, the statement says {project.digest}"):
        held_against(statement, "other", digest)


def test_what_only_one_side_knows_is_named_and_not_taken_for_compared(
    project: Project, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    *left, sums_up = held_against(statement)
    assert [line.partition(" can't be compared: here unknown: ")[0] for line in left] == [
        f"artifacts/compiled: {part}" for part in ("dvc.lock", "git commit", "params")
    ]
    assert sums_up.endswith("says: artifact, file, graph, source, source files, toolchain, verdict")
    # The other way round.
    of_the_folder = make_statement(trace(FOLDER, ask=False))
    assert set(of_the_folder["predicate"]["modelkiln_unknown"]) == {"dvc.lock", "git commit", "params"}
    *left, _ = held_against(of_the_folder, REF)
    assert f"{REF}: params can't be compared: there unknown: a registered version would say it" in left[-1]


def test_params_that_the_artifact_knows_by_itself_are_compared_anyway(
    project: Project, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    params(statement)["compile"]["precision"] = "int8"
    params(statement)["validate"]["profile_rounds"] = 77  # of which a folder knows nothing
    with pytest.raises(ModelkilnError, match=r'says: params compile\.precision: "fp32", the statement says "int8"$'):
        held_against(statement)


@pytest.mark.parametrize("part", ["artifact", "file", "source", "toolchain", "graph", "manifest"])
def test_what_every_artifact_says_can_not_be_left_open(
    part: str, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    statement["predicate"]["modelkiln_unknown"] = {part: "trust me"}
    for name in ("artifact", "graphs/encoder.pt"):
        sha256(name)(statement)
    uri("source", "pkg:pypi/other@1")(statement)
    uri("toolchain/torch", "pkg:pypi/torch@1.13.1")(statement)
    statement["predicate"]["buildDefinition"]["internalParameters"]["dimension"] = 1
    with pytest.raises(ModelkilnError, match="5 mistakes"):
        held_against(statement)


@pytest.mark.parametrize("name", ["verdict", "git commit"])
def test_claim_beside_the_word_that_it_is_unknown_is_compared(
    name: str, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    statement["predicate"]["modelkiln_unknown"] = {name: "trust me"}
    resource(statement, "git")["digest"]["gitCommit"] = "0" * 40
    sha256("verdict.json")(statement)
    with pytest.raises(ModelkilnError, match="2 mistakes"):
        held_against(statement, REF)


def test_verdict_that_came_later_is_another_one(
    project: Project, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    later = verdict_of(project.digest)
    later["bounds"]["min_cosine"] = 0.5
    write_text(project.folder / "reports/validation/verdict.json", to_json(later))
    with pytest.raises(ModelkilnError, match=r"verdict bounds\.min_cosine: 0\.5, the statement says 0\.9999"):
        held_against(statement)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda claimed: claimed.update(_type="https://in-toto.io/Statement/v0.1"), "_type is .*v0.1', expected"),
        (lambda claimed: claimed.update(predicateType="https://spdx.dev/Document"), "predicateType is .*spdx"),
        (
            lambda claimed: claimed["predicate"]["buildDefinition"].update(buildType="https://example.org/build"),
            "buildType is 'https://example.org/build', expected 'pkg:pypi/modelkiln",
        ),
        (lambda claimed: claimed.pop("predicate"), "damaged: KeyError: 'predicate'"),
        (lambda claimed: claimed.update(subject=5), "damaged: TypeError"),
        (lambda claimed: claimed.update(subject=[{"name": "artifact"}]), "damaged: KeyError: 'digest'"),
        (lambda claimed: claimed["predicate"].update(runDetails=[]), "damaged: "),
        (lambda claimed: claimed["predicate"].update(modelkiln_unknown="all"), "damaged: "),
        (
            lambda claimed: claimed["subject"].append({"name": "tokenizer.json", "digest": {"sha256": "0" * 64}}),
            "damaged: ValueError: it says two things of file tokenizer.json",
        ),
    ],
)
def test_what_is_no_statement_of_ours_is_one_line(
    edit: Edit, said: str, statement: dict[str, Any], held_against: HeldAgainst
) -> None:
    edit(statement)
    with pytest.raises(ModelkilnError, match=said):
        held_against(statement)


@pytest.mark.parametrize("text", ["", "[]", "5", "{"])
def test_what_is_no_json_object_is_one_line(text: str, project: Project, tmp_path: Path) -> None:
    write_text(tmp_path / "provenance.json", text)
    with pytest.raises(ModelkilnError, match=r"provenance\.json: the statement is damaged"):
        verify_provenance("artifacts/compiled", project.digest, tmp_path / "provenance.json")


def test_alias_that_has_moved_meanwhile_is_refused(project: Project, statement: dict[str, Any], tmp_path: Path) -> None:
    write_text(tmp_path / "provenance.json", to_json(statement))
    with pytest.raises(ModelkilnError, match=f"stands for artifact {project.digest} by now; 0{{64}} was verified"):
        verify_provenance("mlflow:keywords@champion", "0" * 64, tmp_path / "provenance.json")


def test_command_verifies_the_bytes_and_the_claims(
    project: Project, statement: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "provenance.json"
    write_text(path, json.dumps(statement))
    verify(REF, provenance=path)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{REF}: 3 files, all as they were compiled")
    assert second.startswith(f"{REF}: as {path} says: artifact")
    altered = copy.deepcopy(statement)
    sha256("tokenizer.json")(altered)
    write_text(path, json.dumps(altered))
    with pytest.raises(ModelkilnError, match=r"file tokenizer\.json"):
        verify(REF, provenance=path)
    # A statement that is right about what the artifact was does not save one that was altered since.
    write_text(path, json.dumps(statement))
    shutil.copytree("artifacts/compiled", tmp_path / "copy")
    (tmp_path / "copy/tokenizer.json").write_text("[]")
    with pytest.raises(ModelkilnError, match=r"tokenizer\.json was altered"):
        verify(str(tmp_path / "copy"), provenance=path)
