"""A server that fails: nothing half-made is ever seen, nothing is there twice, and one line says what happened."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from registries.mlflow_places import SMALL, Place, compiled, seen, the_only, trained
from registries.mlflow_server import FILES, KINDS, Fault, Proxy, Request, once, proxy

from modelkiln import ModelkilnError, registries
from modelkiln.registries import Ref, mlflow

SECRET = "hunter2-and-more"


@pytest.fixture
def before(remote: Place) -> Iterator[Proxy]:
    """A proxy before the server of `remote`; `through` takes it."""
    with proxy(remote.address) as running:
        yield running


def through(before: Proxy) -> mlflow.Options:
    return mlflow.Options(before.url)


def register_and_promote(place: Place, options: mlflow.Options, folder: Path) -> Any:
    """All that an upload asks of a registry."""
    wanted = trained(place, folder, SMALL)
    version = mlflow.register(wanted, options)
    mlflow.set_alias(version, "champion", options)
    return wanted


@pytest.mark.parametrize("kinds", [[*KINDS], *(pytest.param([kind], marks=pytest.mark.heavy) for kind in KINDS)])
def test_answer_lost_after_the_commit_makes_nothing_twice(
    kinds: list[str], remote: Place, before: Proxy, tmp_path: Path
) -> None:
    lost = [once(kind, Fault(502, commits=True)) for kind in kinds]
    before.fault = lambda request: next((fault for each in lost if (fault := each(request))), None)
    wanted = register_and_promote(remote, through(before), tmp_path / "model")
    assert all(before.asked(kind) >= 2 for kind in kinds)  # MLflow asked again
    the_only(remote, wanted)
    assert mlflow.resolve(Ref("mlflow", remote.name, alias="champion"), remote.options).digest == wanted.digest
    runs = remote.client().search_runs([remote.client().get_experiment_by_name(remote.name).experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]


@pytest.mark.parametrize("status", [500, 503])
def test_failure_that_passes_is_not_noticed(status: int, remote: Place, before: Proxy, tmp_path: Path) -> None:
    failed: set[str] = set()

    def each_once(request: Request) -> Fault | None:
        key = f"{request.method} {request.path}"
        return None if key in failed else (failed.add(key) or Fault(status))  # type: ignore[func-returns-value]

    before.fault = each_once
    the_only(remote, register_and_promote(remote, through(before), tmp_path / "model"))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("create_version", 401),
        ("upload", 403),
        ("upload", 503),
        ("set_tag", 0),
        *(
            pytest.param(kind, status, marks=pytest.mark.heavy)
            for kind in ("create_run", "create_version", "upload", "set_tag", "set_alias")
            for status in (400, 401, 403, 500, 503, 0)
        ),
    ],
)
def test_failure_that_stays_is_one_line_and_the_next_call_completes_it(
    status: int, kind: str, remote: Place, before: Proxy, tmp_path: Path
) -> None:
    before.fault = lambda request: Fault(status) if request.is_a(kind) else None
    with pytest.raises(ModelkilnError, match=rf"^MLflow at {before.url}: ") as raised:
        register_and_promote(remote, through(before), tmp_path / "model")
    said = str(raised.value)
    assert "\n" not in said
    assert len(said) < 900
    assert str(status or "Max retries") in said
    hint = {401: "MLFLOW_TRACKING_USERNAME", 403: "may not do it", 400: ""}.get(status, "run it again")
    assert hint in said
    # What is refused is set again: two machines may have set it at once.
    refused = 2 if status == 400 and kind in ("set_alias", "set_tag") else 1
    assert before.asked(kind) == (refused if status in (400, 401, 403) else 3)
    if kind != "set_alias":
        assert seen(remote) == set()
    before.fault = lambda _: None
    the_only(remote, register_and_promote(remote, through(before), tmp_path / "model"))


@pytest.mark.parametrize("kind", ["set_tag", "set_alias"])
def test_what_another_machine_has_set_at_the_same_moment_is_set_again(
    kind: str, remote: Place, before: Proxy, tmp_path: Path
) -> None:
    """The server's database refuses the second of two that set a tag or an alias for the first time."""
    refused: list[str] = []

    def once(request: Request) -> Fault | None:
        if not request.is_a(kind) or refused:
            return None
        refused.append(kind)
        return Fault(400, b'{"error_code": "BAD_REQUEST", "message": "UNIQUE constraint failed"}', commits=True)

    before.fault = once
    the_only(remote, register_and_promote(remote, through(before), tmp_path / "model"))
    assert refused == [kind]


@pytest.mark.heavy  # the limits that modelkiln sets: half a minute
def test_server_that_fails_without_end_is_given_up_within_a_minute(
    remote: Place, before: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER"):
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
    before.fault = lambda _: Fault(503)
    began = time.monotonic()
    with pytest.raises(ModelkilnError, match="run it again when it is back"):
        register_and_promote(remote, through(before), tmp_path / "model")
    assert 20 < time.monotonic() - began < 60


def test_server_that_dies_in_the_middle_of_a_file_is_completed_when_it_is_back(
    remote: Place, before: Proxy, tmp_path: Path
) -> None:
    dead = threading.Event()

    def die(request: Request) -> Fault | None:
        if request.is_a("upload") and "model.safetensors" in request.path and not dead.is_set():
            dead.set()
            return Fault(half_sent=True)
        return Fault() if dead.is_set() else None

    before.fault = die
    with pytest.raises(ModelkilnError, match="run it again when it is back"):
        register_and_promote(remote, through(before), tmp_path / "model")
    assert seen(remote) == set()
    before.fault = lambda _: None
    the_only(remote, register_and_promote(remote, through(before), tmp_path / "model"))


@pytest.mark.parametrize("promised", [True, False])
def test_download_that_is_cut_short_is_refused(promised: bool, remote: Place, before: Proxy, tmp_path: Path) -> None:
    wanted = register_and_promote(remote, through(before), tmp_path / "model")
    version = mlflow.resolve(Ref("mlflow", remote.name, alias="champion"), through(before))
    before.fault = lambda request: (
        Fault(cut=True, promised=promised)
        if request.method == "GET" and request.path.startswith(f"{FILES}/") and "safetensors" in request.path
        else None
    )
    with pytest.raises(ModelkilnError, match=r"model\.safetensors") as raised:
        registries.fetch_verified(version, tmp_path / "fetched", through(before))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "fetched").exists()
    before.fault = lambda _: None
    registries.fetch_verified(version, tmp_path / "fetched", through(before))
    assert (tmp_path / "fetched" / "model" / "model.safetensors").read_bytes() == SMALL["model.safetensors"]
    the_only(remote, wanted)


def test_half_a_file_is_never_complete(remote: Place, before: Proxy, tmp_path: Path) -> None:
    """The verification's own download is cut as well."""
    before.fault = lambda request: (
        Fault(cut=True) if request.method == "GET" and "safetensors" in request.path else None
    )
    with pytest.raises(ModelkilnError, match=r"model\.safetensors was altered"):
        register_and_promote(remote, through(before), tmp_path / "model")
    assert seen(remote) == set()


def log_in(monkeypatch: pytest.MonkeyPatch, way: str) -> str:
    """Sets the variables, and gives the header that they have to become."""
    if way == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
        return f"Bearer {SECRET}"
    if way == "password":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "kiln")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    return "Basic " + base64.b64encode(f"kiln:{SECRET}".encode()).decode()


@pytest.mark.parametrize("way", ["token", "password", "address"])
def test_secrets_get_the_user_in_and_are_nowhere_else(
    way: str,
    remote: Place,
    before: Proxy,
    tiny_artifact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    header = log_in(monkeypatch, way)
    address = before.url.replace("//", f"//kiln:{SECRET}@") if way == "address" else before.url
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    echo = f"no entry for {header}, alias {SECRET} " * 3
    body = json.dumps({"error_code": "UNAUTHENTICATED", "message": echo}).encode()
    before.fault = lambda request: Fault(401, body) if request.authorization != header else None
    options = mlflow.Options()
    version = mlflow.register(compiled(remote, tiny_artifact), options)
    mlflow.set_alias(version, "champion", options)
    mlflow.link(version, version, options)
    registries.fetch_verified(version, tmp_path / "fetched", options)
    before.fault = lambda _: Fault(401, body)  # a server that repeats what it was told
    with pytest.raises(ModelkilnError, match="set MLFLOW_TRACKING_USERNAME") as raised:
        mlflow.find(remote.name, version.digest, options)
    found = remote.client().get_model_version(remote.name, version.version)
    run = remote.client().get_run(found.run_id)
    said = (
        "".join(capfd.readouterr()) + str(raised.value) + repr(version) + repr(dict(found)) + repr(run.to_dictionary())
    )
    kept = [path for folder in ("fetched", "cache") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    said += "".join(path.read_text(errors="replace") for path in kept)
    encoded = base64.b64encode(f"kiln:{SECRET}".encode()).decode()
    assert version.location == before.url
    assert SECRET not in said
    assert encoded not in said


LIES = [
    [("../outside", False)],
    [("/tmp/modelkiln-outside", False)],
    [("..", True)],
    [("%2e%2e/outside", False)],
    [("card.md", False), ("card.md", False)],
    [("model", True), ("model", False)],
    [("card.md", False), ("card.md/inside", False)],
]


def lie(listing: list[tuple[str, bool]]) -> Callable[[Request], Fault | None]:
    """The server says that a version has those files and, where True, folders."""
    entries = [{"path": path, "is_dir": is_dir, "file_size": 5} for path, is_dir in listing]

    def answer(request: Request) -> Fault | None:
        if request.method != "GET" or FILES not in request.path:
            return None
        if not request.path.startswith(f"{FILES}?"):
            return Fault(200, b"alien")
        return Fault(200, json.dumps({"files": entries if request.path.endswith("artifacts") else []}).encode())

    return answer


def test_server_that_lists_paths_outside_gets_nothing_out_of_the_folder(
    remote: Place, before: Proxy, tmp_path: Path
) -> None:
    wanted = register_and_promote(remote, through(before), tmp_path / "model")
    version = mlflow.resolve(Ref("mlflow", remote.name, alias="champion"), through(before))
    outer = tmp_path / "a" / "b"
    outer.mkdir(parents=True)
    for listing in LIES:
        before.fault = lie(listing)
        with pytest.raises(ModelkilnError) as raised:
            registries.fetch_verified(version, outer / "fetched", through(before))
        assert "Traceback" not in str(raised.value)
        assert not list(tmp_path.rglob("*outside*")), listing
        assert not Path("/tmp/modelkiln-outside").exists()
        assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b"], listing
    before.fault = lambda _: None
    the_only(remote, wanted)


@pytest.mark.heavy
def test_server_that_lists_folders_without_end_is_given_up(remote: Place, before: Proxy, tmp_path: Path) -> None:
    register_and_promote(remote, through(before), tmp_path / "model")
    version = mlflow.resolve(Ref("mlflow", remote.name, alias="champion"), through(before))
    endless = json.dumps({"files": [{"path": "folder", "is_dir": True}]}).encode()
    before.fault = lambda request: Fault(200, endless) if request.path.startswith(f"{FILES}?") else None
    with pytest.raises(ModelkilnError, match="MLflow at"):
        registries.fetch_verified(version, tmp_path / "fetched", through(before))
