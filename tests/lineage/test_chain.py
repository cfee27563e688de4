"""The chain is found from wherever one begins, and what nobody can tell is said to be unknown."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from lineage.project import MODEL, Project, commit, fetch, git, make_project, params_of, verdict_of
from registries.mlflow_places import Place, trained
from sealed import seal_artifact

from modelkiln import ModelkilnError, registries
from modelkiln.artifact import MANIFEST, read_manifest
from modelkiln.files import sha256, to_json, write_text
from modelkiln.lineage import Unknown
from modelkiln.lineage.trace import trace
from modelkiln.registries import mlflow
from modelkiln.verdict import Verdict

LINKED = {
    "model": "tiny",
    "variant": "trained",
    "source": "registry",
    "id": "mlflow:keywords-trained/1",
    "revision": "",
}


def test_registered_version_tells_the_whole_chain(project: Project) -> None:
    chain = trace("mlflow:keywords@champion")
    assert chain.unknown() == {}
    assert chain.digest == project.digest
    assert chain.manifest == read_manifest(project.folder / "artifacts/compiled")
    assert chain.manifest_sha256 == sha256(project.folder / "artifacts/compiled" / MANIFEST)
    assert chain.source_files == {name: sha256(project.folder / "artifacts/source" / name) for name in MODEL}
    assert chain.params == params_of(project)
    assert isinstance(chain.verdict, Verdict)
    assert chain.verdict.artifact == project.digest
    assert (chain.run.git_commit, chain.run.git_clean, chain.run.recorded) == (project.code, "yes", "here")
    assert isinstance(chain.serving, dict)
    assert {"modelkiln", "torch", "numpy", "python"} <= set(chain.serving)
    held = {each.registry: each.versions for each in chain.held}
    (version,) = held["mlflow"]  # type: ignore[misc]
    assert (version.ref, version.aliases) == ("mlflow:keywords/1", ("champion",))
    assert isinstance(held["neptune"], Unknown)
    assert "NEPTUNE_PROJECT" in held["neptune"].reason


@pytest.mark.parametrize(
    "ref",
    [
        lambda project: "artifacts/compiled",
        lambda project: str(fetch(project)),
        lambda project: project.digest,
        lambda project: "keywords/1",
    ],
    ids=["folder", "fetched folder", "digest", "version without its registry"],
)
def test_other_ways_to_name_it_lead_to_the_same_chain(ref: Callable[[Project], str], project: Project) -> None:
    named = ref(project)
    by_version, other = trace("mlflow:keywords/1"), trace(named)
    assert other.ref == named
    for part in ("digest", "manifest_sha256", "serving", "source_files", "params", "verdict_sha256", "run", "held"):
        assert getattr(other, part) == getattr(by_version, part), part


def test_digest_is_found_where_only_a_registry_has_it(project: Project) -> None:
    shutil.rmtree(project.folder / "artifacts")
    assert trace(project.digest).digest == project.digest
    with pytest.raises(
        ModelkilnError, match=r"0{64}: no artifact of that digest in artifacts/compiled.*as keywords; n"
    ):
        trace("0" * 64)


def test_run_is_known_after_the_project_has_gone_on(project: Project) -> None:
    """dvc.lock is committed after the run, and other runs follow."""
    before = trace("mlflow:keywords/1")
    params = params_of(project)
    params["compile"]["max_batch"] = 16
    write_text(project.folder / "params.yaml", yaml.safe_dump(params))
    lock = (project.folder / "dvc.lock").read_text()
    write_text(project.folder / "dvc.lock", lock.replace("max_batch: 8", "max_batch: 16"))
    commit("the next run")
    after = trace("mlflow:keywords/1")
    assert after.params == before.params
    assert (before.run.recorded, after.run.recorded) == ("here", project.run)


def test_run_is_found_in_another_branch(project: Project) -> None:
    """Where DVC's experiments and pull requests have theirs."""
    git("switch", "-q", "--detach", project.code)
    assert not (project.folder / "dvc.lock").exists()
    assert trace("mlflow:keywords/1").run.recorded == project.run


def test_dvc_lock_that_was_never_committed_is_unknown(project: Project) -> None:
    git("reset", "-q", "--hard", project.code)
    chain = trace("mlflow:keywords/1")
    reason = f"no commit after {project.code[:12]} has the dvc.lock of that run: never committed, or not fetched"
    assert chain.params == chain.run.recorded == Unknown(reason)
    assert chain.run.git_commit == project.code
    assert chain.source_files  # which artifacts/source tells


def test_dvc_lock_with_the_marks_of_a_conflict_is_passed_over(project: Project) -> None:
    git("switch", "-q", "-c", "merging", project.code)
    write_text(project.folder / "dvc.lock", "<<<<<<< ours\nschema: '2.0'\n=======\n>>>>>>> theirs\n")
    commit("a conflict")
    assert trace("mlflow:keywords/1").run.recorded == project.run


def test_outside_of_the_project_the_registry_tells_what_it_knows(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/registry/mlflow.db")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    chain = trace("mlflow:keywords@champion")
    assert set(chain.unknown()) == {"params", "source files"}
    assert chain.unknown()["params"] == f"no git repository here has the commit {project.code[:12]}, at which it ran"
    assert (chain.digest, chain.run.git_commit) == (project.digest, project.code)


def test_artifact_that_is_not_registered_tells_what_it_knows(project: Project) -> None:
    digest = seal_artifact(project.folder / "other").digest
    chain = trace("other")
    assert chain.digest == digest
    unregistered = "a registered version would say it, and none was found"
    assert chain.unknown() == {
        "dvc.lock": unregistered,
        "git commit": unregistered,
        "params": unregistered,
        "serving": "there is no model/sbom.json",
        "source files": chain.unknown()["source files"],
        "verdict": "no verdict of this artifact lies beside it, nor in reports/validation",
    }
    assert "artifacts/source is tiny" in chain.unknown()["source files"]
    assert chain.held[0].versions == ()


def test_verdict_of_another_artifact_is_none_of_this_one(project: Project) -> None:
    write_text(project.folder / "reports/validation/verdict.json", to_json(verdict_of("0" * 64)))
    assert "verdict" in trace("artifacts/compiled").unknown()
    assert "verdict" not in trace("mlflow:keywords/1").unknown()


def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_verdict_is_taken_from_where_upload_takes_it(project: Project) -> None:
    """From the machine with a device, where the one that validates has none."""
    data = params_of(project)
    data["upload"]["reports"] = "reports/verified"
    write_text(project.folder / "params.yaml", yaml.safe_dump(data))
    (project.folder / "reports/verified").mkdir()
    of_the_device = verdict_of(project.digest)
    of_the_device["corpus"] = "3" * 64
    write_text(project.folder / "reports/verified/verdict.json", to_json(of_the_device))
    verdict = trace("artifacts/compiled", ask=False).verdict
    assert isinstance(verdict, Verdict)
    assert verdict.corpus == "3" * 64


def test_source_files_that_were_fetched_for_another_model_do_not_count(project: Project) -> None:
    revision = project.folder / "artifacts/source/revision.json"
    write_text(revision, revision.read_text().replace('"id": "tiny"', '"id": "another"'))
    assert "artifacts/source is another" in trace("mlflow:keywords/1").unknown()["source files"]


def test_pins_of_the_params_tell_the_source_files(embedded: Place, tmp_path: Path) -> None:
    """The default model is pinned, file by file."""
    package = {"model": "tiny", "variant": "base", "source": "package", "id": "tiny", "revision": "1.0"}
    project = make_project(tmp_path, package, pins={"config.json": "1" * 64})
    shutil.rmtree(project.folder / "artifacts/source")
    assert trace("mlflow:keywords/1").source_files == {"config.json": "1" * 64}


def test_registry_that_is_down_is_one_line_and_the_rest_is_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    params = params_of(project)
    params["upload"]["options"] = {"tracking_uri": f"http://127.0.0.1:{closed_port()}"}
    write_text(project.folder / "params.yaml", yaml.safe_dump(params))
    chain = trace("artifacts/compiled")
    held = {each.registry: each.versions for each in chain.held}
    assert isinstance(held["mlflow"], Unknown)
    assert held["mlflow"].reason.startswith("MLflow at http://127.0.0.1:")
    assert "\n" not in held["mlflow"].reason
    assert (chain.digest, chain.receipt) == (project.digest, project.receipt)
    assert {"git commit", "params", "dvc.lock"} == set(chain.unknown())
    with pytest.raises(ModelkilnError, match="MLflow at"):  # of which nothing is known but what it says
        trace("mlflow:keywords/1")


def test_trained_source_is_linked_both_ways_and_a_link_that_is_lost_is_noted(embedded: Place, tmp_path: Path) -> None:
    place = Place(embedded.options, "keywords-trained", embedded.address, embedded.files)
    files = {name: text.encode() for name, text in MODEL.items()}
    source = mlflow.register(trained(place, tmp_path / "trained", files), place.options)
    project = make_project(tmp_path, {**LINKED, "revision": source.digest})
    chain = trace("mlflow:keywords/1")
    assert isinstance(chain.source_version, registries.Version)
    assert (chain.source_version.ref, chain.source_version.compiled) == (source.ref, ("mlflow:keywords/1",))
    assert chain.notes == ()
    with pytest.raises(
        ModelkilnError, match=r"a trained model, which modelkiln has not made.*from it: mlflow:keywords/1"
    ):
        trace("mlflow:keywords-trained/1")
    # Of a source that is not here any more, the registry knows the files.
    shutil.rmtree(project.folder / "artifacts/source")
    found = trace("mlflow:keywords/1").source_files
    assert {name: found[name] for name in MODEL} == {  # type: ignore[index]
        name: sha256(tmp_path / "trained" / name) for name in MODEL
    }
    client = place.client()
    for tag in client.get_model_version("keywords-trained", "1").tags:
        if tag.startswith("compiled."):
            client.delete_model_version_tag("keywords-trained", "1", tag)
    note = "mlflow:keywords-trained/1 does not say that mlflow:keywords/1 was compiled from it"
    assert trace("mlflow:keywords/1").notes == (note,)
    client.delete_model_version("keywords-trained", "1")
    assert "version=1) not found" in trace("mlflow:keywords/1").unknown()["source version"]


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("nothing", r"'nothing': expected the folder of an artifact, a registered version .* or a git commit"),
        ("./nothing", r"expected the folder of an artifact"),
        ("--all", r"expected the folder of an artifact"),
        ("artifacts", r"artifacts: no artifact here"),
        ("mlflow:keywords", r"expected REGISTRY:NAME@ALIAS"),
        ("mlfow:keywords/1", r"unknown registry 'mlfow' \(did you mean 'mlflow'\?\)"),
        ("mlflow:keywords/7", r"version=7\) not found"),
        ("nothing@champion", r"MLflow at"),
    ],
)
def test_reference_that_leads_nowhere_is_one_line(ref: str, said: str, project: Project) -> None:
    with pytest.raises(ModelkilnError, match=said) as raised:
        trace(ref)
    assert "\n" not in str(raised.value)


def test_altered_manifest_is_refused(project: Project) -> None:
    path = project.folder / "artifacts/compiled" / MANIFEST
    path.write_text(path.read_text().replace('"precision": "fp32"', '"precision": "int8"'))
    with pytest.raises(ModelkilnError, match="the manifest was altered"):
        trace("artifacts/compiled")


def test_version_that_holds_another_artifact_is_refused(own_project: Project) -> None:
    """Whoever can write to the registry's files could exchange it, manifest and all."""
    project = own_project
    seal_artifact(project.folder / "other")
    (held,) = (project.folder / "registry/files").rglob(MANIFEST)
    shutil.copy(project.folder / "other" / MANIFEST, held)
    with pytest.raises(ModelkilnError, match=f"registered as artifact {project.digest}, and holds"):
        trace("mlflow:keywords/1")


def test_damaged_parts_are_unknown_and_the_rest_is_there(own_project: Project) -> None:
    for name in ("verdict.json", "sbom.json"):
        (held,) = (own_project.folder / "registry/files").rglob(name)
        held.write_text("{")
    unknown = trace("mlflow:keywords/1").unknown()
    assert set(unknown) == {"serving", "verdict"}
    assert unknown["verdict"].startswith("verdict.json: the verdict is damaged")


def test_signature_is_told_and_not_believed(project: Project) -> None:
    write_text(
        project.folder / "artifacts/compiled.sig",
        json.dumps({"verificationMaterial": {"publicKey": {"hint": "ab12"}}}),
    )
    assert trace("artifacts/compiled").signature == "ab12"
    write_text(project.folder / "artifacts/compiled.sig", "[]")
    assert "the signature is damaged" in str(trace("artifacts/compiled").signature)
    assert trace("mlflow:keywords/1").signature == Unknown("mlflow:keywords/1 was registered without")
