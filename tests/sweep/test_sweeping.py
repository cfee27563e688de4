"""A sweep through DVC's own queue, its leaderboard, and the adoption of its best, in a project in small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from sweep.small import Small, make_small

pytestmark = pytest.mark.pipeline
heavy = pytest.mark.heavy  # the first two and the last stand for the rest
CELLS = {name: f"all-MiniLM-L6-v2+base+{name}" for name in ("neuron", "onnxruntime-int8", "openvino")}
SWEEP = ("sweep", "--backend", ",".join(CELLS), "--variant", "base")


@pytest.fixture
def swept(made_once, tmp_path: Path) -> Small:  # type: ignore[no-untyped-def]
    """A copy of a project in which the sweep has run once."""

    def make(folder: Path) -> None:
        made = make_small(folder)
        done = made.modelkiln(*SWEEP)
        assert "2 of 3 cells have an experiment, 1 have failed" in done.stderr

    return Small(made_once("swept", make)).copy(tmp_path / "project")


def sweep_after_a_run(project: Small) -> None:
    """So that the workspace has outputs, which a commit knows, and HEAD the experiment that is adopted."""
    project.run("dvc", "repro", "validate")
    project.run("git", "add", "dvc.lock")
    project.run("git", "commit", "-qm", "the first run")
    project.modelkiln("sweep", "--backend", "openvino", "--variant", "base")


def refused(project: Small, *arguments: str) -> str:
    """The one line with which the command refuses; whatever else it says is progress."""
    done = project.modelkiln(*arguments, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("modelkiln: ")]
    return line


def test_each_cell_is_an_experiment_and_one_that_can_not_run_fails_alone(swept: Small) -> None:
    assert swept.experiments == {CELLS["onnxruntime-int8"], CELLS["openvino"]}
    # No cell got as far as the stage that registers.
    assert {line.split()[0] for line in swept.ran} == {"compile", "validate"}
    done = swept.modelkiln("leaderboard", "--max-f1-loss", "0.01", "--min-speedup", "1.5", "--html", "page.html")
    assert done.stdout.splitlines()[-2:] == [
        f"the best: {CELLS['openvino']}    modelkiln adopt {CELLS['openvino']}",
        "wrote page.html",
    ]
    for line in (
        f"{CELLS['onnxruntime-int8']}: refused: quality: gold: f1 lost",
        f"{CELLS['neuron']}: failed: compile: torch_neuron is not installed",
    ):
        assert line in done.stdout
        assert line.split(": ", 1)[1] in (swept.folder / "page.html").read_text()


@heavy
def test_rule_that_none_is_within_is_exit_code_1(swept: Small) -> None:
    assert "no cell is within the rule" in refused(swept, "leaderboard", "--min-speedup", "9")
    (swept.folder / "new").touch()
    swept.run("git", "add", "new")
    swept.run("git", "commit", "-qm", "another commit, without experiments")
    assert "HEAD has no experiments; `modelkiln sweep` makes them" in refused(swept, "leaderboard")
    assert CELLS["openvino"] in swept.modelkiln("leaderboard", "--commit", "HEAD~1").stdout


@heavy
def test_second_sweep_runs_only_what_has_failed(swept: Small) -> None:
    before = swept.ran
    done = swept.modelkiln(*SWEEP)
    assert "2 of 3 cells have an experiment on" in done.stderr
    assert swept.ran == [*before, "compile base neuron bf16"]
    shown = json.loads(swept.run("dvc", "exp", "show", "--json").stdout)
    assert [each["name"] for each in shown[1]["experiments"]].count(CELLS["neuron"]) == 1


def test_adopted_cell_is_applied_and_registered_by_the_upload_alone(swept: Small) -> None:
    before = swept.ran
    done = swept.modelkiln("adopt", CELLS["openvino"])
    assert swept.ran == [*before, "upload base openvino fp32"]
    assert "mlflow:small@champion is version 1, digest base openvin" in done.stdout
    assert swept.read("receipts/upload.json")["digest"].startswith("base openvino fp32")
    assert "backend: openvino" in (swept.folder / "params.yaml").read_text()
    assert json.loads(swept.run("dvc", "status", "--json").stdout) == {}
    assert swept.repro() == []


@heavy
@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (CELLS["onnxruntime-int8"], "is not adopted: refused: quality: gold: f1 lost"),
        (CELLS["neuron"], "is not adopted: failed: compile: torch_neuron is not installed"),
        (
            "nonsense",
            f"has no experiment 'nonsense'; to be adopted there are: {CELLS['openvino']}",
        ),
    ],
)
def test_cell_without_a_positive_verdict_is_not_adopted(cell: str, reason: str, swept: Small) -> None:
    before = state(swept)
    assert reason in refused(swept, "adopt", cell)
    assert state(swept) == before


@heavy
def test_what_is_not_committed_is_not_overwritten(swept: Small) -> None:
    sweep_after_a_run(swept)
    edits = {
        "work.py": swept.folder / "work.py",
        "params.yaml": swept.folder / "params.yaml",
        "reports/validation/verdict.json": swept.folder / "reports/validation/verdict.json",
    }
    for name, path in edits.items():
        was = path.read_text()
        path.unlink()  # it may be a link into DVC's cache
        path.write_text(was + "\n")
        before = state(swept)
        assert f"this would overwrite what is not committed: {name};" in refused(swept, "adopt", CELLS["openvino"])
        assert state(swept) == before
        assert path.read_text() == was + "\n"
        path.write_text(was)
    swept.modelkiln("adopt", CELLS["openvino"])


@heavy
def test_output_that_the_cache_has_lost_is_not_overwritten(swept: Small) -> None:
    sweep_after_a_run(swept)
    (out,) = yaml.safe_load((swept.folder / "dvc.lock").read_text())["stages"]["compile"]["outs"]
    (swept.folder / ".dvc" / "cache" / "files" / "md5" / out["md5"][:2] / out["md5"][2:]).unlink()
    graph = (swept.folder / "artifacts/compiled/graph").read_text()
    line = refused(swept, "adopt", CELLS["openvino"])
    assert "this would overwrite what is not committed: artifacts/compiled/; DVC's cache has lost it: " in line
    assert (swept.folder / "artifacts/compiled/graph").read_text() == graph
    swept.run("dvc", "commit", "--force", "--with-deps", "validate")
    swept.modelkiln("adopt", CELLS["openvino"])
    # Where nothing is here, nothing is lost.
    swept.run("git", "stash", "-q")
    shutil.rmtree(swept.folder / "artifacts")
    shutil.rmtree(swept.folder / "reports")
    swept.modelkiln("adopt", CELLS["openvino"])


@heavy
def test_untracked_file_that_the_experiment_has_is_not_overwritten(swept: Small) -> None:
    (swept.folder / "dvc.lock").write_text("mine\n")
    assert "would overwrite what is not committed: dvc.lock;" in refused(swept, "adopt", CELLS["openvino"])
    assert (swept.folder / "dvc.lock").read_text() == "mine\n"
    (swept.folder / "dvc.lock").unlink()
    (swept.folder / "notes.txt").write_text("mine\n")
    swept.modelkiln("adopt", CELLS["openvino"])
    assert (swept.folder / "notes.txt").read_text() == "mine\n"


@heavy
def test_cell_of_which_more_than_the_upload_would_run_is_put_back(swept: Small) -> None:
    """As where something that the experiment was made with is not here: a file that git does not know."""
    swept.edit("dvc.yaml", lambda text: text.replace("deps: [work.py]", "deps: [work.py, secret.txt]"))
    swept.run("git", "commit", "-qam", "depend on a file that is ignored")
    (swept.folder / ".git" / "info" / "exclude").write_text("secret.txt\n")
    (swept.folder / "secret.txt").write_text("1")
    swept.run("dvc", "exp", "run", "--name", "x", "-S", "backend=openvino", "validate")
    swept.run("git", "reset", "--hard", "-q")
    swept.run("git", "clean", "-qfdx", "artifacts", "reports", "dvc.lock")
    (swept.folder / "secret.txt").write_text("2")
    before = state(swept)
    assert "x is not adopted: compile would have to run again" in refused(swept, "adopt", "x")
    assert state(swept) == before


def while_adopting(project: Small, step: str, edit: str) -> str:
    """Adopts the cell in a process in which, after a step of it, an editor saves; what it said."""
    code = f"""
from pathlib import Path
from modelkiln.errors import ModelkilnError
from modelkiln.sweep import adopt
done = adopt.{step}
def and_then(*arguments):
    done(*arguments)
    {edit}
adopt.{step} = and_then
try:
    adopt.adopt({CELLS["openvino"]!r})
except ModelkilnError as error:
    print(error)
"""
    return project.run("python", "-c", code).stdout + project.run("git", "status", "--short").stdout


@heavy
@pytest.mark.parametrize(
    "edit",
    ["Path('work.py').write_text('# mine')", "Path('artifacts/compiled/graph').unlink(); "
     "Path('artifacts/compiled/graph').write_text('# mine')"],
    ids=["a file of the project", "an output"],
)  # fmt: skip
def test_edit_made_while_it_fetches_is_not_overwritten(edit: str, swept: Small) -> None:
    sweep_after_a_run(swept)
    name = "work.py" if "work.py" in edit else "artifacts/compiled/"
    assert f"this would overwrite what is not committed: {name}" in while_adopting(swept, "_fetch", edit)
    assert "# mine" in (swept.folder / (name if name == "work.py" else f"{name}graph")).read_text()


@heavy
def test_edit_made_while_it_is_put_back_stays(swept: Small) -> None:
    """The experiment's params.yaml differs from HEAD's, so putting back comes upon it."""
    sweep_after_a_run(swept)
    before = (swept.folder / "dvc.lock").read_text()
    edit = "Path('params.yaml').write_text('# mine'); raise ModelkilnError('stale')"
    said = while_adopting(swept, "_require_upload_alone", edit)
    assert "stale" in said
    assert " M params.yaml" in said
    assert (swept.folder / "params.yaml").read_text() == "# mine"
    assert (swept.folder / "dvc.lock").read_text() == before


@heavy
def test_registry_that_is_down_loses_nothing(swept: Small) -> None:
    before = swept.ran
    swept.environment["SMALL_REGISTRY"] = "down"
    line = refused(swept, "adopt", CELLS["openvino"])
    assert line.endswith("upload`: upload: the registry can't be reached; it is applied: that command does the rest")
    swept.environment["SMALL_REGISTRY"] = "up"
    swept.run("dvc", "repro", "--force", "--single-item", "upload")
    assert swept.ran == [*before, *["upload base openvino fp32"] * 2]


def test_sweep_lists_the_plain_commands_and_loads_no_engine(swept: Small) -> None:
    listed = swept.modelkiln(*SWEEP, "--list").stdout.splitlines()
    assert [line.split()[4] for line in listed] == list(CELLS.values())
    code = "import sys, modelkiln.sweep.sweeping; print({'dvc', 'ray', 'torch'} & set(sys.modules))"
    assert swept.run("python", "-c", code).stdout == "set()\n"


def state(project: Small) -> tuple[str, str, list[str], str]:
    """All that adopting could change."""
    return (
        project.run("git", "status", "--porcelain", "--ignored").stdout,
        project.run("git", "diff").stdout,
        project.ran,
        project.run("dvc", "data", "status", "--json").stdout,
    )
