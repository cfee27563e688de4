"""The server fails, or the process is killed: one line each, nothing half is visible, and the rerun completes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from neptune_server import FOREVER, NeptuneServer
from neptune_server.child import Children, Killer
from neptune_server.samples import SECRET, read, trained

from modelkiln import ModelkilnError, registries
from modelkiln.registries import Ref, Registration, neptune

MODEL = "PROJ-KEYB"
PIECE = 5 << 20  # bytes in a part of a file


@pytest.fixture
def wanted(tmp_path: Path) -> Registration:
    return trained(tmp_path / "model")


def nobody_sees(wanted: Registration, options: neptune.Options) -> None:
    """Holds that no reader sees a version."""
    assert neptune.find("KEYB", wanted.digest, options) is None
    with suppress_no_model():
        assert neptune.versions("KEYB", options) == []


@contextmanager
def suppress_no_model() -> Iterator[None]:
    try:
        yield
    except ModelkilnError as error:
        if "no Model PROJ-KEYB" not in str(error):
            raise


def one_complete(server: NeptuneServer, wanted: Registration, options: neptune.Options, tmp_path: Path) -> None:
    """Holds that exactly one version is complete, and that it is whole."""
    (version,) = neptune.versions("KEYB", options)
    assert version.digest == wanted.digest
    held = [each.value("modelkiln/status") for each in server.state.versions(MODEL, "team/models")]
    assert held.count("complete") == 1
    registries.fetch_verified(version, tmp_path / "fetched", options)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        pytest.param("createExperiment", {"status": 503}, marks=pytest.mark.heavy),
        ("executeOperations", {"status": 500}),
        pytest.param("fileAtomUpload", {"status": 500}, marks=pytest.mark.heavy),
        ("fileAtomUpload", {"status": 502, "after": True}),
        ("fileAtomUpload", {"what": "die"}),
        pytest.param("downloadAttribute", {"status": 503}, marks=pytest.mark.heavy),
        ("executeOperations", {"status": 401, "error": "AUTHORIZATION_TOKEN_EXPIRED"}),
    ],
)
def test_failure_that_passes_is_survived(
    call: str,
    fault: dict[str, Any],
    server: NeptuneServer,
    options: neptune.Options,
    wanted: Registration,
    tmp_path: Path,
) -> None:
    server.fail(call, **fault)
    neptune.register(wanted, options)
    assert [each.times for each in server.faults] == [0]
    one_complete(server, wanted, options, tmp_path)
    assert len(server.state.versions(MODEL, "team/models")) == 1


def test_version_that_a_502_left_empty_is_never_complete(
    server: NeptuneServer, options: neptune.Options, wanted: Registration, tmp_path: Path
) -> None:
    """The server has made it, the client doesn't know, and asks for another."""
    neptune.find("KEYB", wanted.digest, options)
    # The model's, which the client then finds is there, and the version's.
    server.fail("createExperiment", status=502, after=True, times=3)
    neptune.register(wanted, options)
    one_complete(server, wanted, options, tmp_path)
    assert len(server.state.versions(MODEL, "team/models")) == 2
    with pytest.raises(ModelkilnError, match="PROJ-KEYB-1 was never completed"):
        neptune.resolve(Ref("neptune", "KEYB", version="1"), options)
    assert neptune.register(wanted, options).version == "2"


@pytest.mark.parametrize(
    ("call", "fault", "message"),
    [
        ("getClientConfig", {"status": 500}, "can't be reached, or keeps failing: 500"),
        pytest.param(
            "createExperiment", {"status": 503}, "can't be reached, or keeps failing: 503", marks=pytest.mark.heavy
        ),
        pytest.param(
            "executeOperations", {"status": 500}, "can't be reached, or keeps failing: 500", marks=pytest.mark.heavy
        ),
        ("fileAtomUpload", {"status": 500}, "can't be reached, or keeps failing: 500"),
        pytest.param(
            "downloadAttribute", {"status": 503}, "can't be reached, or keeps failing: 503", marks=pytest.mark.heavy
        ),
        ("fileAtomUpload", {"status": 400}, "refused with status 400: .*a fault of the test's"),
        pytest.param("createExperiment", {"status": 400}, "refused with status 400", marks=pytest.mark.heavy),
        ("executeOperations", {"status": 401}, "401: the token in NEPTUNE_API_TOKEN is not, or no longer, accepted"),
        pytest.param("fileAtomUpload", {"status": 401}, "401: the token", marks=pytest.mark.heavy),
        ("fileAtomUpload", {"status": 403}, "403: the token"),
        pytest.param("getProject", {"status": 401}, "401: the token", marks=pytest.mark.heavy),
        pytest.param("fileAtomUpload", {"status": 422}, "fault of the test's", marks=pytest.mark.heavy),
        ("fileAtomUpload", {"what": "garble"}, "the list of contents is damaged"),
        pytest.param("downloadAttribute", {"what": "cut"}, "Neptune at ", marks=pytest.mark.heavy),
        (
            "downloadAttribute",
            {"what": "cut quietly"},
            "contents.json",
        ),
        ("fileAtomUpload", {"what": "die", "seconds": 0, "then": "gone"}, "can't be reached"),
    ],
)
def test_failure_that_stays_is_one_line_and_nothing_is_visible(
    call: str,
    fault: dict[str, Any],
    message: str,
    server: NeptuneServer,
    options: neptune.Options,
    wanted: Registration,
    tmp_path: Path,
) -> None:
    if call != "getClientConfig":
        neptune.find("KEYB", wanted.digest, options)
    else:
        forget_connections()
    gone = fault.pop("then", None)
    if gone:
        server.watch = lambda name, moment, body: server.die() if name == call and moment == "before" else None
    else:
        server.fail(call, times=FOREVER, **fault)
    started = time.monotonic()
    with pytest.raises(ModelkilnError, match=message) as raised:
        neptune.register(wanted, options)
    assert time.monotonic() - started < 30
    assert "\n" not in str(raised.value).partition(": 2 mistakes")[0]
    server.faults.clear()
    server.watch = lambda name, moment, body: None
    if gone:
        server.start()
    nobody_sees(wanted, options)
    neptune.register(wanted, options)
    one_complete(server, wanted, options, tmp_path)


def forget_connections() -> None:
    """Makes the client read the server's configuration anew: it remembers that for the process."""
    from neptune.internal.backends import hosted_client

    for name in ("_get_token_client", "get_client_config", "create_http_client_with_auth"):
        getattr(hosted_client, name).cache_clear()


def test_download_cut_short_leaves_nothing(
    server: NeptuneServer, options: neptune.Options, wanted: Registration, tmp_path: Path
) -> None:
    version = neptune.register(wanted, options)
    for what in ("cut", "cut quietly"):
        server.fail("downloadAttribute", what)
        with pytest.raises(ModelkilnError):
            registries.fetch_verified(version, tmp_path / "fetched", options)
        assert not (tmp_path / "fetched").exists()
    registries.fetch_verified(version, tmp_path / "fetched", options)


def test_altered_version_is_refused(
    server: NeptuneServer, options: neptune.Options, wanted: Registration, tmp_path: Path
) -> None:
    version = neptune.register(wanted, options)
    (held,) = server.state.versions(MODEL, "team/models")
    path = held.attributes["model/model_artifacts/config.json"].path
    assert path
    path.write_bytes(b"[]")
    with pytest.raises(ModelkilnError, match=r"model/config\.json was altered"):
        registries.fetch_verified(version, tmp_path / "fetched", options)


def test_file_that_changes_while_it_is_uploaded_is_no_version(
    server: NeptuneServer, options: neptune.Options, wanted: Registration, tmp_path: Path
) -> None:
    def change(name: str, moment: str, body: Any) -> None:
        if name == "fileAtomUpload":
            (wanted.model / "model.safetensors").write_bytes(b"changed")

    server.watch = change
    with pytest.raises(ModelkilnError, match=r"model/model\.safetensors was altered"):
        neptune.register(wanted, options)
    server.watch = lambda name, moment, body: None
    nobody_sees(wanted, options)
    (wanted.model / "model.safetensors").write_bytes(b"weights")
    neptune.register(wanted, options)
    one_complete(server, wanted, options, tmp_path)


def test_file_that_shrinks_in_mid_upload_does_not_hang_the_client(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model", {"model.safetensors": os.urandom(2 * PIECE + 1)})

    def shrink(name: str, moment: str, body: Any) -> None:
        if name == "fileAtomMultipartUploadPart":
            os.truncate(wanted.model / "model.safetensors", 10)

    server.watch = shrink
    version = neptune.register(wanted, options)
    registries.fetch_verified(version, tmp_path / "fetched", options)  # what it was when its turn came


def test_large_file_survives_a_server_that_dies_between_its_parts(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model", {"model.safetensors": os.urandom(2 * PIECE + 1)})
    server.fail("fileAtomMultipartUploadPart", "die")
    neptune.register(wanted, options)
    one_complete(server, wanted, options, tmp_path)


def test_kill_after_each_change_leaves_nothing_half_and_the_next_run_goes_on(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path, parent: Children
) -> None:
    """The n-th run is killed after the n-th request that changes something, until one gets through."""
    wanted = trained(tmp_path / "model")
    for at in range(1, 40):
        killer = Killer(at)
        server.watch = killer
        killer.aim(parent.start(wanted.model))
        ((code, said),) = parent.wait()
        if not killer.killed:
            assert code == 0, said
            break
        assert code == -9
        if neptune.find("KEYB", wanted.digest, options) is None:
            nobody_sees(wanted, options)
        else:
            one_complete(server, wanted, options, tmp_path)
    assert at > 8
    one_complete(server, wanted, options, tmp_path)


def test_disk_without_room_is_one_line_and_the_next_run_goes_on(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path, parent: Children
) -> None:
    wanted = trained(tmp_path / "model", {"model.safetensors": os.urandom(100_000)})
    parent.start(wanted.model, disk=50_000)
    ((code, said),) = parent.wait()
    assert (code, said.splitlines()[-1].partition("can't go on here: File too large")[1] != "") == (1, True), said
    nobody_sees(wanted, options)
    neptune.register(wanted, options)
    one_complete(server, wanted, options, tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_at_each_step_of_a_first_run(
    moment: str, server: NeptuneServer, options: neptune.Options, tmp_path: Path, parent: Children
) -> None:
    wanted = trained(tmp_path / "model")
    for at in range(1, 40):
        server.reset()
        server.state.add_project("team/models", "PROJ")
        killer = Killer(at, moment)
        server.watch = killer
        killer.aim(parent.start(wanted.model))
        ((code, said),) = parent.wait()
        server.watch = lambda name, moment, body: None
        if not killer.killed:
            assert code == 0, said
            break
        if neptune.find("KEYB", wanted.digest, options) is None:
            nobody_sees(wanted, options)
        neptune.register(wanted, options)
        one_complete(server, wanted, options, tmp_path)
    assert at > 10


def test_two_that_register_the_same_at_once_make_one_version(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path, parent: Children
) -> None:
    wanted = trained(tmp_path / "model")
    for _ in range(2):
        parent.start(wanted.model)
    assert [code for code, _ in parent.wait()] == [0, 0]
    one_complete(server, wanted, options, tmp_path)
    assert len(server.state.versions(MODEL, "team/models")) == 1


def test_two_that_register_different_ones_at_once_make_two_with_both_links(
    server: NeptuneServer, options: neptune.Options, tmp_path: Path, parent: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = neptune.register(trained(tmp_path / "source"), options)
    for number in range(2):
        monkeypatch.setenv("MODELKILN_CACHE", str(tmp_path / f"machine-{number}"))  # and so no lock in common
        model = trained(tmp_path / f"model-{number}", {"model.pt": b"%d" % number}).model
        parent.start(model, link_to=source.version)
    ended = parent.wait()
    assert [code for code, _ in ended] == [0, 0], ended
    assert neptune.versions("KEYB", options)[0].compiled == ("neptune:KEYB/2", "neptune:KEYB/3")
    (held,) = (each for each in server.state.versions(MODEL, "team/models") if each.sys_id == "PROJ-KEYB-1")
    entries = json.loads(read(held, "model/compiled_model_versions"))
    assert sorted(entry["with_id"] for entry in entries) == ["PROJ-KEYB-2", "PROJ-KEYB-3"]


def test_process_against_a_failing_server_ends_in_time_with_one_line(server: NeptuneServer, tmp_path: Path) -> None:
    """The whole program: the client keeps threads, and does things when the interpreter ends."""
    code = """if True:
        import sys
        from modelkiln import ModelkilnError
        from modelkiln.registries import neptune
        from neptune_server.samples import trained
        from pathlib import Path
        try:
            neptune.register(trained(Path("model")), neptune.Options())
        except ModelkilnError as error:
            sys.exit(f"modelkiln: {error}")
    """
    # From the first file on: the client is in the middle of a version then, with its threads.
    server.watch = lambda name, moment, body: (
        server.fail("*", times=FOREVER) if name == "fileAtomUpload" and not server.faults else None
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NEPTUNE_RETRIES_TIMEOUT": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith(f"modelkiln: Neptune at {server.url}/team/models: can't be reached")
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr
    assert time.monotonic() - started < 100
