"""A hub's files arrive as pinned or not at all: the real client, against a hub on this machine that can fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hub_server
import pytest
from hub_server import COMMIT, REPO, Fault, Hub, refuse
from imports import ROOT

from modelkiln import ModelkilnError, sources
from modelkiln.files import relative_files, sha256
from modelkiln.params import Download

TOKEN = "hf_thisIsASecretOfTheTests"
# huggingface_hub tries a server that fails 6 times, with pauses of 1, 2, 4, 8 and 8 s, and no setting changes that.
PATIENCE = 40  # seconds that a download may take until it gives up

# The download stage, for a child: huggingface_hub reads HF_ENDPOINT and HF_HUB_OFFLINE when it is imported.
STAGE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from modelkiln import params, sources
from modelkiln.files import staged_folder, to_json, write_text
from stages import run

def download():
    with staged_folder(Path(sys.argv[1])) as folder:
        revision = sources.fetch(params.Download(**json.loads(sys.argv[2])), folder)
        write_text(folder / sources.REVISION, to_json(asdict(revision)))

run(download)
"""


@dataclass(frozen=True)
class Fetch:
    """A download that runs in a child."""

    folder: Path  # all that it writes
    child: subprocess.Popen[str]
    started: float

    @property
    def dest(self) -> Path:
        return self.folder / "source"

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        try:
            return self.child.wait(max(0.1, self.started + PATIENCE - time.monotonic()))
        except subprocess.TimeoutExpired:
            pytest.fail(f"it still runs after {PATIENCE} s; so far it said: {self.stderr}")

    def error(self) -> str:
        """The message that it failed with, after the progress; a traceback has none."""
        assert self.wait() == 1
        assert "Traceback" not in self.stderr, self.stderr
        message = self.stderr.split("-c: ", 1)[1]
        assert len(message.splitlines()) == 1, message
        assert [path.name for path in self.folder.iterdir() if path.name.strip(".").startswith("source")] == []
        return message


def start(folder: Path, endpoint: str, files: dict[str, str | None], **environment: str) -> Fetch:
    """Starts to download REPO at COMMIT from the hub at `endpoint` into `folder`."""
    options = {"repo": environment.pop("repo", REPO), "revision": environment.pop("revision", COMMIT)}
    download = {"model": "tiny", "variant": "base", "source": "hub", "sources": {"hub": options}, "files": files}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    ours = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    folder.mkdir(parents=True)
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        child = subprocess.Popen(
            [sys.executable, "-c", STAGE, str(folder / "source"), json.dumps(download)],
            env={**inherited, **ours, **environment},
            cwd=folder,
            stdout=out,
            stderr=err,
            text=True,
        )
    return Fetch(folder, child, time.monotonic())


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[Hub]:
    with hub_server.serve(tiny_model) as running:
        yield running


@pytest.fixture
def fetch(hub: Hub, pins: dict[str, str | None], tmp_path: Path) -> Iterator[Callable[..., Fetch]]:
    """Starts a download from `hub`: fetch(HF_TOKEN="…"). What is left of it ends with the test."""
    started: list[Fetch] = []

    def run(files: dict[str, str | None] = pins, **environment: str) -> Fetch:
        started.append(start(tmp_path / str(len(started)), hub.url, files, **environment))
        return started[-1]

    yield run
    for one in started:
        one.child.kill()
        one.child.wait()


@pytest.fixture(scope="module")
def pins(tiny_model: Path) -> dict[str, str | None]:
    """The sha256 of each file of the tiny model."""
    return {name: sha256(tiny_model / name) for name in relative_files(tiny_model)}


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of more than the 10 MB that huggingface_hub writes at a time, so that it has a half to go on from."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (24 << 12))
    return folder


@pytest.fixture(scope="module", autouse=True)
def patient(
    tiny_model: Path, large_model: Path, pins: dict[str, str | None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Hub, Fetch]]]:
    """The downloads that huggingface_hub tries again and again, all under way at once: {name: (hub, fetch)}."""
    folder = tmp_path_factory.mktemp("patient")
    large_pins = {name: sha256(large_model / name) for name in relative_files(large_model)}
    one_pin = {"config.json": pins["config.json"]}
    cases: dict[str, tuple[Path, Fault, dict[str, str | None]]] = {
        "server error": (tiny_model, refuse(500, message="the hub burns"), one_pin),
        "server error for the list": (tiny_model, refuse(500, message="the hub burns"), {}),
        "no answer for the list": (tiny_model, hub_server.never_answer, {}),
        "breaks off": (tiny_model, hub_server.break_off, one_pin),
        "breaks off once": (large_model, hub_server.break_off_once, dict(large_pins)),
    }
    with ExitStack() as running:
        fetches = {}
        for name, (model, fault, files) in cases.items():
            hub = running.enter_context(hub_server.serve(model, fault))
            fetches[name] = hub, start(folder / name.replace(" ", "-"), hub.url, files)
        nobody = Hub("http://127.0.0.1:9", tiny_model, [])  # the discard port: nobody listens
        fetches["nobody there"] = nobody, start(folder / "nobody-there", nobody.url, one_pin)
        yield fetches
        for _, fetch in fetches.values():
            fetch.child.kill()
            fetch.child.wait()


def assert_all_there(fetch: Fetch, pins: dict[str, str | None]) -> None:
    """Every file with its sha256, and revision.json, and nothing else."""
    assert fetch.wait() == 0, fetch.stderr
    assert relative_files(fetch.dest) == sorted([*pins, sources.REVISION])
    assert {name: sha256(fetch.dest / name) for name in pins} == pins


def test_pinned_files_arrive_and_nothing_beside_them(fetch: Callable[..., Fetch], pins: dict[str, str | None]) -> None:
    assert_all_there(fetch(), pins)


def test_revision_says_repository_commit_and_each_sha256(
    fetch: Callable[..., Fetch], pins: dict[str, str | None]
) -> None:
    done = fetch()
    assert done.wait() == 0, done.stderr
    expected: dict[str, Any] = {"model": "tiny", "variant": "base", "source": "hub", "id": REPO, "revision": COMMIT}
    assert json.loads((done.dest / sources.REVISION).read_text()) == {**expected, "files": pins}


def test_only_the_listed_files_are_asked_for(fetch: Callable[..., Fetch], hub: Hub) -> None:
    listed = ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert fetch(dict.fromkeys(listed)).wait() == 0
    assert {request.path for request in hub.requests} == {f"/{REPO}/resolve/{COMMIT}/{name}" for name in listed}


def test_without_a_list_all_files_of_the_commit_arrive(
    fetch: Callable[..., Fetch], pins: dict[str, str | None]
) -> None:
    assert_all_there(fetch({}), pins)


def test_repository_with_a_pickle_is_refused_where_no_list_leaves_it_out(
    fetch: Callable[..., Fetch], hub: Hub, tmp_path: Path
) -> None:
    hub.folder = shutil.copytree(hub.folder, tmp_path / "repository")
    (hub.folder / "pytorch_model.bin").write_bytes(b"a pickle")
    hub.listing.append("pytorch_model.bin")
    assert "refused: modelkiln takes weights as safetensors only" in fetch({}).error()


def test_repository_whose_list_leads_outside_is_refused(fetch: Callable[..., Fetch], hub: Hub, tmp_path: Path) -> None:
    hub.folder = shutil.copytree(hub.folder, tmp_path / "hub" / "repository")
    (tmp_path / "hub" / "outside.json").write_text("{}")  # what it serves, if it is asked
    hub.listing.append("../outside.json")
    assert "../outside.json" in fetch({}).error()
    assert len(list(tmp_path.rglob("outside.json"))) == 1


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper(), f"{COMMIT}0", "refs/pr/1", ""])
def test_revision_that_is_no_commit_is_refused_before_any_request(
    revision: str, fetch: Callable[..., Fetch], hub: Hub
) -> None:
    message = fetch(revision=revision).error()
    assert f"revision must be a commit, 40 hex digits; found {revision!r}" in message
    assert hub.seen == []


@pytest.mark.parametrize("repo", ["kiln/tiny/deep", "https://huggingface.co/kiln/tiny", "kiln tiny"])
def test_repository_name_that_can_not_be_is_one_line(repo: str, fetch: Callable[..., Fetch], hub: Hub) -> None:
    assert repr(repo) in fetch(repo=repo).error()
    assert hub.requests == []


@pytest.mark.parametrize("value", ["1", "true", "ON", "yes"])
def test_offline_is_refused_by_the_name_of_the_variable(
    value: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    options = {"hub": {"repo": REPO, "revision": COMMIT}}
    with pytest.raises(ModelkilnError, match=r"^download\.source=hub, but HF_HUB_OFFLINE forbids .*: unset it$"):
        sources.fetch(Download("tiny", "base", "hub", options), tmp_path)
    assert hub.seen == []


def test_offline_that_is_off_is_no_refusal(fetch: Callable[..., Fetch], pins: dict[str, str | None]) -> None:
    assert_all_there(fetch(HF_HUB_OFFLINE="0"), pins)


@pytest.mark.parametrize(
    ("fault", "listed", "found"),
    [
        pytest.param(refuse(404, "RepoNotFound", "No such repo"), True, "Repository Not Found", id="repository"),
        pytest.param(refuse(404, "RevisionNotFound", "Invalid rev id"), True, "Revision Not Found", id="revision"),
        pytest.param(refuse(404, "EntryNotFound", "Entry not found"), True, "Entry Not Found", id="file"),
        pytest.param(refuse(401, "RepoNotFound", "Invalid username"), True, "401", id="unauthorized"),
        pytest.param(refuse(401, "RepoNotFound", "Invalid username"), False, "401", id="unauthorized, for the list"),
        pytest.param(refuse(403, "GatedRepo", "access is restricted"), True, "access is restricted", id="gated"),
        pytest.param(refuse(403, "", "your token may not read"), True, "your token may not read", id="forbidden"),
        pytest.param(refuse(403, "", "your token may not read"), False, "your token may", id="forbidden, for the list"),
        pytest.param(hub_server.cut_short, True, "Consistency check failed", id="cut short"),
        pytest.param(hub_server.be_no_hub, True, "does not seem to be served by a Hugging Face Hub", id="no hub"),
        pytest.param(hub_server.be_no_hub, False, "Expecting value", id="no hub, for the list"),
    ],
)
def test_fault_is_one_line_with_endpoint_reason_and_remedy(
    fault: Fault, listed: bool, found: str, fetch: Callable[..., Fetch], hub: Hub, pins: dict[str, str | None]
) -> None:
    hub.fault = fault
    message = fetch({"config.json": pins["config.json"]} if listed else {}).error()
    assert message.startswith(f"{hub.url}: can't download {REPO} at {COMMIT}: ")
    assert found in message
    assert message.endswith("take the model from elsewhere with download.source\n")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"repo": "kiln/nothing"}, "Repository Not Found"),
        ({"revision": "f" * 40}, "Revision Not Found"),
        ({"files": {"nothing.json": None}}, "Entry Not Found"),
    ],
)
def test_what_the_hub_lacks_is_named(other: dict[str, Any], found: str, fetch: Callable[..., Fetch], hub: Hub) -> None:
    message = fetch(**other).error()
    assert f"{found} for url: {hub.url}/" in message


def test_altered_bytes_are_refused_with_both_digests(
    fetch: Callable[..., Fetch], hub: Hub, pins: dict[str, str | None]
) -> None:
    hub.fault = hub_server.alter
    message = fetch({"config.json": pins["config.json"]}).error()
    assert "tiny from hub is not the model that the config pins: config.json has sha256 " in message
    assert f", expected {pins['config.json']}" in message


@pytest.mark.parametrize("where", ["the same host", "another host"])
def test_files_behind_a_redirect_arrive(
    where: str, fetch: Callable[..., Fetch], hub: Hub, pins: dict[str, str | None]
) -> None:
    with hub_server.serve(hub.folder) as other:
        hub.blobs = f"{(hub if where == 'the same host' else other).url}/cdn"
        assert_all_there(fetch(), pins)
        served_by = hub if where == "the same host" else other
        assert "GET" in {request.method for request in served_by.requests if request.path.startswith("/cdn/")}


def test_token_opens_a_private_repository(fetch: Callable[..., Fetch], hub: Hub, pins: dict[str, str | None]) -> None:
    hub.fault = hub_server.need_token(TOKEN)
    assert "Repository Not Found" in fetch().error()
    assert_all_there(fetch(HF_TOKEN=TOKEN), pins)


def test_token_that_can_not_be_one_is_one_line_without_it(fetch: Callable[..., Fetch]) -> None:
    message = fetch(HF_TOKEN=f"{TOKEN}ä").error()
    assert "HF_TOKEN" in message
    assert TOKEN not in message


def test_token_stays_with_the_hub(fetch: Callable[..., Fetch], hub: Hub, pins: dict[str, str | None]) -> None:
    with hub_server.serve(hub.folder) as cdn:
        hub.blobs = f"{cdn.url}/cdn"
        assert_all_there(fetch(HF_TOKEN=TOKEN), pins)
        assert {request.authorization for request in hub.requests} == {f"Bearer {TOKEN}"}
        assert {request.authorization for request in cdn.requests} == {None}


@pytest.mark.parametrize("fault", [hub_server.need_token(TOKEN), refuse(403), hub_server.alter])
def test_token_is_in_no_output_and_no_file(
    fault: Fault, fetch: Callable[..., Fetch], hub: Hub, tmp_path: Path, pins: dict[str, str | None]
) -> None:
    hub.fault = fault
    fetch({"config.json": pins["config.json"], "model.safetensors": None}, HF_TOKEN=TOKEN, HF_DEBUG="1").wait()
    assert f"Bearer {TOKEN}" in {request.authorization for request in hub.requests}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"stdout", "stderr"} <= {path.name for path in written}
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("server error", "500"),
        ("server error for the list", "500"),
        ("nobody there", "Connection refused"),
        ("breaks off", "peer closed connection"),
    ],
)
def test_fault_that_lasts_ends_in_one_line_with_endpoint_reason_and_remedy(
    name: str, found: str, patient: dict[str, tuple[Hub, Fetch]]
) -> None:
    hub, started = patient[name]
    message = started.error()
    assert message.startswith(f"{hub.url}: can't download {REPO} at {COMMIT}: ")
    assert found in message
    assert message.endswith("take the model from elsewhere with download.source\n")


def test_download_that_breaks_off_goes_on_where_it_was(
    patient: dict[str, tuple[Hub, Fetch]], large_model: Path
) -> None:
    hub, started = patient["breaks off once"]
    assert_all_there(started, {name: sha256(large_model / name) for name in relative_files(large_model)})
    assert [request.range for request in hub.requests if request.range] == [f"bytes={20 << 20}-"]


def test_hub_that_never_answers_is_given_up(patient: dict[str, tuple[Hub, Fetch]]) -> None:
    hub, started = patient["no answer for the list"]
    assert started.error().startswith(f"{hub.url}: can't download {REPO} at {COMMIT}: ")
