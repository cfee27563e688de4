"""What an export holds is in the registry once, in order and linked, however often the migration was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from neptune_exports import ARTIFACTS, CARD, Export, entry
from s3_server import S3, free_port

import modelkiln
from modelkiln import ModelkilnError, cli, registries, sources
from modelkiln.migration import migrate
from modelkiln.migration.card import write_card
from modelkiln.migration.plan import make_plan
from modelkiln.neptune.exported import folder_name
from modelkiln.params import Download
from modelkiln.registries import Version, mlflow
from modelkiln.registries.mlflow.client import EMBEDDED

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def options(embedded: Any) -> mlflow.Options:
    """An empty embedded registry in a project's folder, which is the working folder."""
    found: mlflow.Options = embedded.options
    return found


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """KEYB-MINI 2, 9 and 10; KEYB-COMP-1, by its name before them all, was compiled from number 9."""
    written = Export(tmp_path / "export")
    for number in (10, 9, 2):
        written.trained(f"KEYB-MINI-{number}", {"config.json": b"{}", "model.safetensors": b"the same"})
    written.trained("KEYB-COMP-1", {"model.pt": b"code", "config.json": b"{}"})
    written.compiled("KEYB-MINI-9", "KEYB-COMP-1")
    return written


@pytest.fixture
def run(options: mlflow.Options, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`modelkiln migrate` in this process: its exit code, and what it said."""

    def command(*arguments: str, origin: str = "neptune-export:export", to: str = f"mlflow:{EMBEDDED}") -> Any:
        monkeypatch.setattr(sys, "argv", ["modelkiln", "migrate", "--from", origin, "--to", to, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def held(options: mlflow.Options, name: str) -> list[Version]:
    return mlflow.versions(name, options)


def assert_all_there(options: mlflow.Options) -> None:
    """What the fixture `export` gives, and no more."""
    minis, comps = held(options, "KEYB-MINI"), held(options, "KEYB-COMP")
    assert [(each.version, each.tags["migrated_from"], each.kind) for each in minis] == [
        ("1", "neptune-export:KEYB-MINI-2", "trained"),
        ("2", "neptune-export:KEYB-MINI-9", "trained"),
        ("3", "neptune-export:KEYB-MINI-10", "trained"),
    ]
    assert [(each.version, each.tags["migrated_from"], each.kind) for each in comps] == [
        ("1", "neptune-export:KEYB-COMP-1", "legacy")
    ]
    assert [each.compiled for each in minis] == [(), ("mlflow:KEYB-COMP/1",), ()]
    assert comps[0].tags["source_id"] == "mlflow:KEYB-MINI/2"
    for number, version in enumerate([*minis, *comps]):
        registries.fetch_verified(version, Path(f"fetched-{number}"), options)
        shutil.rmtree(f"fetched-{number}")


def test_versions_are_carried_in_order_and_linked(options: mlflow.Options, export: Export, run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert out.splitlines()[-1] == "4 carried, 0 already there, 0 refused"
    assert "KEYB-MINI-9: mlflow:KEYB-MINI/2, trained" in out
    assert_all_there(options)


def test_run_twice_adds_nothing_and_reads_none_of_it_again(options: mlflow.Options, export: Export, run: Run) -> None:
    run()
    shutil.rmtree(export.version("KEYB-MINI-10") / ARTIFACTS)
    code, out, _ = run()
    assert code == 0
    assert out.splitlines()[-1] == "0 carried, 4 already there, 0 refused"
    assert_all_there(options)


def test_project_that_was_renamed_since_adds_nothing(options: mlflow.Options, export: Export, run: Run) -> None:
    run()
    renamed = Export(export.folder, folder_name("ws/renamed"))
    folder = export.folder / "model_files"
    (folder / export.project).rename(folder / renamed.project)
    renamed.compiled("KEYB-MINI-9", "KEYB-COMP-1", project="ws/renamed")
    code, out, _ = run()
    assert (code, out.splitlines()[-1]) == (0, "0 carried, 4 already there, 0 refused")
    assert_all_there(options)


def test_version_holds_model_card_and_golden_samples(options: mlflow.Options, export: Export, run: Run) -> None:
    run()
    registries.fetch_verified(held(options, "KEYB-MINI")[0], Path("fetched"), options)
    assert Path("fetched/model/model.safetensors").read_bytes() == b"the same"
    assert json.loads(Path("fetched/card.json").read_text()) == CARD
    assert json.loads(Path("fetched/golden/inputs.json").read_text()) == ["The tram line opens."]
    assert "| model_test_files.inputs | model/test_files/inputs |" in Path("fetched/card.md").read_text()


def test_refused_versions_are_listed_and_the_others_carried(options: mlflow.Options, export: Export, run: Run) -> None:
    export.file("KEYB-MINI-9", f"{ARTIFACTS}/..\\x", b"")
    export.trained("KEYB-MINI-11", {})
    export.trained("KEYB-MINI-12", {"a": b""})
    export.file("KEYB-MINI-12", "model/test_files/inputs", b"\xff")
    code, out, err = run()
    assert code == 1
    assert out.splitlines()[-1] == "3 carried, 0 already there, 3 refused"
    lines = [line for line in err.splitlines() if line.startswith("  - ")]
    assert [line.split(":")[0] for line in lines] == ["  - KEYB-MINI-9", "  - KEYB-MINI-11", "  - KEYB-MINI-12"]
    assert "leads out" in lines[0]
    assert "no file of a model" in lines[1]
    assert "no UTF-8" in lines[2]
    # What was compiled from a version that was refused says so all the same.
    assert held(options, "KEYB-COMP")[0].tags["source_id"] == "neptune-export:KEYB-MINI-9"
    assert [each.tags["migrated_from"][-2:] for each in held(options, "KEYB-MINI")] == ["-2", "10"]


def test_version_that_was_refused_comes_with_the_next_run_and_is_linked(
    options: mlflow.Options, export: Export, run: Run
) -> None:
    bad = export.file("KEYB-MINI-9", f"{ARTIFACTS}/..\\x", b"")
    run()
    bad.unlink()
    code, out, _ = run()
    assert (code, out.splitlines()[-1]) == (0, "1 carried, 3 already there, 0 refused")
    assert held(options, "KEYB-MINI")[2].compiled == ("mlflow:KEYB-COMP/1",)


def test_dry_run_lists_and_touches_nothing(export: Export, tmp_path: Path, modelkiln_command: Any) -> None:
    export.trained("KEYB-MINI-11", {})
    done = modelkiln_command("migrate", "--from", "neptune-export:export", "--to", "mlflow:sqlite:///x.db", "--dry-run")
    assert done.returncode == 1
    order = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert [name for name in order if "MINI" in name] == ["KEYB-MINI-2", "KEYB-MINI-9", "KEYB-MINI-10"]
    assert order.index("KEYB-MINI-9") < order.index("KEYB-COMP-1")
    assert "KEYB-COMP-1: would become one of mlflow:KEYB-COMP, legacy" in done.stdout
    assert "  - KEYB-MINI-11: " in done.stderr
    assert set(os.listdir(tmp_path)) == {"export"}


def test_tracked_files_are_carried_from_s3(options: mlflow.Options, export: Export, s3_server: S3, run: Run) -> None:
    location = s3_server.put("some/where/vocab.txt", b"words")
    export.artifact("KEYB-MINI-9", f"{ARTIFACTS}/vocab.txt", [entry(location, b"words")])
    assert run()[0] == 0
    registries.fetch_verified(held(options, "KEYB-MINI")[1], Path("fetched"), options)
    assert Path("fetched/model/vocab.txt").read_bytes() == b"words"


def test_s3_that_is_down_stops_the_migration_so_that_the_order_stays(
    options: mlflow.Options, export: Export, s3_server: S3, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = s3_server.put("some/where/vocab.txt", b"words")
    export.artifact("KEYB-MINI-9", f"{ARTIFACTS}/vocab.txt", [entry(location, b"words")])
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        code, _, err = run()
    assert code == 1
    assert "Could not connect" in err
    assert len(held(options, "KEYB-MINI")) == 1
    assert run()[0] == 0
    assert_all_there(options)


def test_stage_is_carried_where_the_parquet_files_are(options: mlflow.Options, export: Export, run: Run) -> None:
    for number in (2, 9, 10):
        export.parquet(f"KEYB-MINI-{number}", "production")
    code, _, err = run()
    assert code == 1  # of KEYB-COMP-1 there is no parquet file: its export broke off
    assert "  - KEYB-COMP-1: " in err
    assert [each.tags["stage"] for each in held(options, "KEYB-MINI")] == ["production"] * 3


def test_what_is_not_carried_is_named_once(export: Export, run: Run) -> None:
    (export.folder / "data").mkdir()
    (export.version("KEYB-MINI")).mkdir()
    export.file("KEYB-MINI-9", "training/log.txt", "x")
    export.file("KEYB-MINI-10", "training/log.txt", "x")
    export.compiled("KEYB-MINI-10", "KEYB-COMP-7", "KEYB-COMP-8")
    code, _, err = run()
    notes = [line for line in err.splitlines() if line.startswith("note: ")]
    assert code == 0
    assert notes == [
        "note: compiled versions that are not there are not carried (2: KEYB-COMP-7, compiled from KEYB-MINI-10 …)",
        "note: runs, with their metrics and files, are not carried",
        "note: what no model version can be called is not carried (1: KEYB-MINI …)",
        "note: files that are no part of a model are not carried (2: KEYB-MINI-9: training/log.txt …)",
    ]


def test_two_migrations_at_once_make_one_version_each(options: mlflow.Options, export: Export) -> None:
    plan = make_plan(export.folder)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: list(migrate(plan, "mlflow", options)), range(2)))
    assert_all_there(options)


def migrate_killed_after(call: int, export: Path, options: mlflow.Options) -> bool:
    """Whether a child was killed in the migration, right after so many calls that write to the registry."""
    from mlflow import MlflowClient

    child = os.fork()
    if child == 0:
        done = 0

        def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                result = method(*arguments, **options)
                done += 1
                if done == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return wrapped

        try:
            for name in dir(MlflowClient):
                if name.startswith(("create_", "set_", "log_", "update_")):
                    setattr(MlflowClient, name, wrap(getattr(MlflowClient, name)))
            list(migrate(make_plan(export), "mlflow", options))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def assert_completed_after_a_kill(call: int, export: Export, options: mlflow.Options) -> bool:
    killed = migrate_killed_after(call, export.folder, options)
    for name in ("KEYB-MINI", "KEYB-COMP"):
        try:
            there = held(options, name)
        except ModelkilnError:
            continue
        for version in there:  # each is whole
            registries.fetch_verified(version, Path("fetched"), options)
    assert all(outcome.version for outcome in migrate(make_plan(export.folder), "mlflow", options))
    assert_all_there(options)
    return killed


@pytest.mark.parametrize("call", [4, 12])
def test_migration_that_was_killed_is_completed_by_the_next(call: int, export: Export, options: mlflow.Options) -> None:
    assert assert_completed_after_a_kill(call, export, options)


@pytest.mark.heavy
def test_migration_may_be_killed_anywhere(
    export: Export, options: mlflow.Options, mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = 1
    while True:
        folder = tmp_path / f"killed-{call}"
        (folder / "registry").mkdir(parents=True)
        shutil.copy(mlflow_database, folder / "registry" / "mlflow.db")
        monkeypatch.chdir(folder)
        if not assert_completed_after_a_kill(call, export, options):
            break
        call += 1
    assert call > 20  # it was killed so often


def test_trained_model_of_an_export_can_be_compiled_and_a_legacy_one_is_not_loaded(
    options: mlflow.Options, tiny_model: Path, tmp_path: Path, run: Run
) -> None:
    export = Export(tmp_path / "export")
    export.trained("KEYB-MINI-1", tiny_model)
    export.trained("KEYB-COMP-1", {"model.pt": b"code"})
    export.compiled("KEYB-MINI-1", "KEYB-COMP-1")
    assert run()[0] == 0
    (tmp_path / "source").mkdir()
    source = {"registry": "mlflow", "name": "KEYB-MINI", "version": 1}
    revision = sources.fetch(Download("keywords", "trained", "registry", {"registry": source}), tmp_path / "source")
    assert revision.id == "mlflow:KEYB-MINI/1"
    assert {"config.json", "model.safetensors", "card.json", "golden/predictions.json"} <= set(revision.files)
    with pytest.raises(ModelkilnError, match=r"mlflow:KEYB-COMP/1: a legacy model") as raised:
        modelkiln.load("mlflow:KEYB-COMP/1")
    assert "\n" not in str(raised.value)


def test_plan_of_several_projects_with_one_models_id_is_refused(export: Export) -> None:
    Export(export.folder, folder_name("ws/other")).trained("KEYB-MINI-1", {"a": b""})
    with pytest.raises(ModelkilnError, match="choose one with --project"):
        make_plan(export.folder)
    assert len(make_plan(export.folder, "ws/other").versions) == 1


def test_compiled_versions_may_be_in_another_project(export: Export) -> None:
    Export(export.folder, folder_name("ws/other")).trained("OTHER-COMP-1", {"a": b""})
    export.compiled("KEYB-MINI-2", "OTHER-COMP-1", project="ws/other")
    (other,) = [each for each in make_plan(export.folder).versions if each.version.id == "OTHER-COMP-1"]
    assert (other.kind, [source.id for source in other.sources]) == ("legacy", ["KEYB-MINI-2"])


def test_versions_compiled_in_a_circle_are_planned_by_their_numbers(export: Export) -> None:
    export.compiled("KEYB-COMP-1", "KEYB-MINI-9")
    export.compiled("KEYB-MINI-10", "KEYB-MINI-10")
    plan = make_plan(export.folder)
    numbers = [each.version.number for each in plan.versions if each.version.model == "KEYB-MINI"]
    assert numbers == [2, 9, 10]
    assert any("in a circle" in note for note in plan.notes)
    assert any("compiled from itself" in note for note in plan.notes)


def test_thousands_of_versions_are_planned_in_order(tmp_path: Path) -> None:
    export = Export(tmp_path / "export")
    for number in range(1, 1501):
        export.version(f"KEYB-MINI-{number}").mkdir(parents=True)
    assert [each.version.number for each in make_plan(export.folder).versions] == list(range(1, 1501))


@pytest.mark.parametrize("text", ["{", "{}", '[{"model": "x"}]', "[3]", '[{"with_id": 3}]'])
def test_damaged_list_of_what_was_compiled_stops_all(text: str, export: Export) -> None:
    path = export.file("KEYB-MINI-9", "model/compiled_model_versions", text)
    with pytest.raises(ModelkilnError, match="can't be told: mend or remove this") as raised:
        make_plan(export.folder)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_list_of_what_was_compiled_may_be_in_s3(export: Export, s3_server: S3) -> None:
    path = export.version("KEYB-MINI-9") / "model/compiled_model_versions"
    data = path.read_bytes()
    path.unlink()
    location = s3_server.put("compiled_model_versions", data)
    export.artifact("KEYB-MINI-9", "model/compiled_model_versions", [entry(location, data)])
    assert [each.version.id for each in make_plan(export.folder).versions if each.kind == "legacy"] == ["KEYB-COMP-1"]


@pytest.mark.parametrize(
    ("origin", "to", "said"),
    [
        ("export", "mlflow", "expected neptune-export:DIR"),
        ("mlflow:x", "mlflow", "expected neptune-export:DIR"),
        ("neptune-export:nowhere", f"mlflow:{EMBEDDED}", "nowhere: no such folder"),
        ("neptune-export:export", "mlfow", "did you mean 'mlflow'"),
        ("neptune-export:export", "mlflow:http://user:secret@host", "holds credentials"),
    ],
)
def test_what_can_not_be_is_one_line(origin: str, to: str, said: str, export: Export, run: Run) -> None:
    code, _, err = run(origin=origin, to=to)
    assert code == 1
    assert said in err
    assert err.count("\n") == 1
    assert "secret" not in err


def test_database_of_another_place_keeps_its_files_beside_it(export: Export, mlflow_database: Path, run: Run) -> None:
    Path("other").mkdir()
    shutil.copy(mlflow_database, "other/mlflow.db")
    assert run(to="mlflow:sqlite:///other/mlflow.db")[0] == 0
    assert list(Path("other/files").rglob("model.safetensors"))
    assert not Path("mlruns").exists()


def test_plain_registry_is_the_one_of_the_params(
    options: mlflow.Options, export: Export, mlflow_database: Path, run: Run
) -> None:
    from imports import ROOT

    text = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("registry/mlflow.db", "theirs/mlflow.db"))
    Path("theirs").mkdir()
    shutil.copy(mlflow_database, "theirs/mlflow.db")
    assert run(to="mlflow")[0] == 0
    assert len(held(mlflow.Options("sqlite:///theirs/mlflow.db"), "KEYB-MINI")) == 3


def test_card_for_people_is_bounded_and_stays_a_table() -> None:
    card = {f"key {number}": "x|y\n<b>\\" * 100 for number in range(100)}
    written = write_card("KEYB-MINI-1", "trained", json.dumps({"deep": {"er": card}}))
    assert len(written) < 4500
    rows = [line for line in written.splitlines() if line.startswith("| deep")]
    assert rows
    assert all(row.replace("\\\\", "").replace("\\|", "").count("|") == 3 and "<b" not in row for row in rows)


def test_card_that_is_not_there_is_no_table() -> None:
    assert "| | |" not in write_card("KEYB-MINI-1", "legacy", None)
