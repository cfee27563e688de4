"""What docs/lineage.md tells people to do, in a clone in which the pipeline has run; and what DVC knows of a commit."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import pytest
from clone import Clone
from imports import ROOT

from modelkiln.artifact import read_manifest
from modelkiln.lineage import Chain, Unknown
from modelkiln.lineage.statement import UNKNOWN, make_statement
from modelkiln.lineage.trace import trace

pytestmark = pytest.mark.pipeline
PAGE = (ROOT / "docs" / "lineage.md").read_text("utf-8")
COMMANDS = [
    line.split("#")[0].strip().replace("keywords-minilm", "keywords-tiny")
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def inside(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """The clone, as the working folder of this process."""
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("MODELKILN_CACHE", str(clone.folder.parent / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT", "MODELKILN_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
        clone.environment.pop(name, None)
    clone.environment["MODELKILN_CACHE"] = str(clone.folder.parent / "cache")
    return clone


@pytest.mark.heavy
def test_commands_of_the_page_do_what_it_says(inside: Clone) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, by which the page makes a key")
    digest = read_manifest(inside.folder / "artifacts/compiled").digest
    said = {command: inside.run("bash", "-ec", command).stdout for command in COMMANDS}
    assert len(said) == 10
    for command, out in said.items():
        if command.startswith("modelkiln lineage") and "--json" not in command:
            assert out.startswith(f"artifact {digest}\n"), command
    assert json.loads((inside.folder / "provenance.json").read_text())["predicate"].get(UNKNOWN) is None
    assert "team.pub" in said["modelkiln verify artifacts/compiled --key team.pub"]
    # And the two that stand in its text.
    inside.environment["MODELKILN_SIGNING_KEY"] = "team.pem"
    for command in re.findall(r"`((?:model_signing|modelkiln) verify .*?)`", PAGE.replace("\n", " ")):
        words = shlex.split(command.replace("keywords-minilm", "keywords-tiny"))
        if words[0] == "modelkiln":  # this clone's version is not signed: its registration was without a key
            done = inside.run(*words, check=False)
            assert "model.sig: not there: the signature" in done.stderr
        else:
            inside.run(*words)


def by_dvc(chain: Chain) -> dict[str, object]:
    """What the chain of a commit has to have in common with that of the version which its run registered."""
    return {name: getattr(chain, name) for name in ("manifest", "params", "source_files", "serving", "verdict", "held")}


def test_commit_tells_the_whole_chain_from_dvcs_cache(inside: Clone) -> None:
    """Also when the project's folder has nothing of it any more."""
    version = trace("mlflow:keywords-tiny/1")
    for folder in ("artifacts", "reports"):
        shutil.rmtree(inside.folder / folder)
    head = inside.run("git", "rev-parse", "HEAD").stdout.strip()
    inside.run("git", "tag", "-a", "released", "-m", "a tag has a hash of its own")
    chain = trace("released")
    assert chain.unknown() == {}
    assert by_dvc(chain) == by_dvc(version)
    assert chain.run.recorded == head
    assert make_statement(chain) == make_statement(version)
    assert trace(head[:12], ask=False).run.recorded == head


def test_commit_whose_results_nobody_has_kept_tells_what_git_has(inside: Clone) -> None:
    for folder in ("artifacts", "reports", ".dvc/cache"):
        shutil.rmtree(inside.folder / folder)
    receipt = inside.read("receipts/upload.json")
    chain = trace("HEAD")
    assert chain.digest == receipt["digest"]  # since this clone's receipt is committed
    assert isinstance(chain.manifest, Unknown)
    assert chain.manifest.reason.startswith("DVC has no artifacts/compiled/manifest.json of ")
    assert chain.params
    assert make_statement(chain)["subject"] == [{"name": "artifact", "digest": {"sha256": chain.digest}}]


def test_params_that_were_edited_after_the_run_are_noted(inside: Clone) -> None:
    before = trace("HEAD", ask=False)
    inside.compose("upload.alias=challenger")
    inside.run("git", "commit", "-qam", "another alias, not run yet")
    chain = trace("HEAD", ask=False)
    assert before.notes == ()
    assert chain.notes == ("the params of upload have been changed since the run that this commit's dvc.lock is of",)
    assert chain.params == before.params
