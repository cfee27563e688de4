"""The model's files in S3, tracked by Neptune: a real client against two real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from neptune_server import NeptuneServer
from neptune_server.samples import earlier, trained

from modelkiln import ModelkilnError, registries
from modelkiln.registries import Ref, neptune

A = "model/model_artifacts"
NAMES = {
    "model.safetensors": b"weights",
    "model.safetensors.data": b"more",  # its name begins with the other's
    "a/config.json": b"{}",
    "b/config.json": b"{}",  # the same bytes: one artifact for both
    "empty.txt": b"",
    "what?.txt": b"the client can't track it",
    "Schlüssel 漢字.txt": "ß".encode(),
}


VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def bucket(s3_process: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket `models`."""
    import boto3

    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": s3_process}.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3").Bucket("models")
    made.create()
    made.objects.all().delete()
    return made


@pytest.fixture
def options(server: NeptuneServer) -> neptune.Options:
    return neptune.Options(s3="s3://models/root")


def test_model_goes_to_s3_and_comes_back(
    server: NeptuneServer, bucket: Any, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model", NAMES)
    version = neptune.register(wanted, options)
    (held,) = server.state.versions("PROJ-KEYB", "team/models")
    kinds = {name.removeprefix(f"{A}/"): each.type for name, each in held.attributes.items() if name.startswith(A)}
    assert kinds == {**dict.fromkeys(NAMES, "artifact"), "empty.txt": "file", "what?.txt": "file"}
    keys = {each.key for each in bucket.objects.all()}
    assert f"root/team/models/PROJ-KEYB/PROJ-KEYB-1/{A}/a/config.json" in keys
    registries.fetch_verified(version, tmp_path / "fetched", neptune.Options())  # readers need no option
    for name, data in NAMES.items():
        assert (tmp_path / "fetched/model" / name).read_bytes() == data
    assert neptune.register(wanted, options) == version


def test_upload_that_broke_off_is_completed(
    server: NeptuneServer, bucket: Any, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model", NAMES)
    server.fail("createNewArtifact", status=400)
    with pytest.raises(ModelkilnError, match="refused with status 400"):
        neptune.register(wanted, options)
    assert neptune.find("KEYB", wanted.digest, options) is None
    version = neptune.register(wanted, neptune.Options())  # the rerun has another mind of where they go
    assert (version.version, len(neptune.versions("KEYB", options))) == ("1", 1)
    registries.fetch_verified(version, tmp_path / "fetched", options)


def test_object_that_was_altered_is_refused(
    server: NeptuneServer, bucket: Any, options: neptune.Options, tmp_path: Path
) -> None:
    version = neptune.register(trained(tmp_path / "model"), options)
    key = f"root/team/models/PROJ-KEYB/PROJ-KEYB-1/{A}/model.safetensors"
    bucket.put_object(Key=key, Body=b"changed")
    with pytest.raises(ModelkilnError, match=r"model/model\.safetensors was altered"):
        registries.fetch_verified(version, tmp_path / "fetched", options)
    bucket.Object(key).delete()
    with pytest.raises(ModelkilnError, match=f"s3://models/{key}: .*404"):
        registries.fetch_verified(version, tmp_path / "fetched", options)


def test_bucket_that_is_not_there_is_one_line(
    server: NeptuneServer, bucket: Any, options: neptune.Options, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "model")
    with pytest.raises(ModelkilnError, match=r"s3://nowhere/.*NoSuchBucket") as raised:
        neptune.register(wanted, neptune.Options(s3="s3://nowhere"))
    assert "\n" not in str(raised.value)
    assert neptune.find("KEYB", wanted.digest, options) is None


def test_artifact_of_another_system_is_followed_to_where_it_says(
    server: NeptuneServer, bucket: Any, options: neptune.Options, tmp_path: Path
) -> None:
    bucket.put_object(Key="old/KEYB-7/model.safetensors", Body=b"weights")
    held = earlier(server.state, {f"{A}/config.json": b"{}"})
    server.state.artifacts["h"] = [tracked("s3://models/old/KEYB-7/model.safetensors", 7)]
    server.state.assign(held, f"{A}/model.safetensors", "artifact", {"hash": "h"})
    version = neptune.resolve(Ref("neptune", "KEYB", version="1"), options)
    registries.fetch_verified(version, tmp_path / "fetched", options)
    assert (tmp_path / "fetched/model/model.safetensors").read_bytes() == b"weights"
    beside = {**tracked("s3://models/old/KEYB-7/model.safetensors.data", 3), "filePath": "model.safetensors.data"}
    server.state.artifacts["h"].insert(0, beside)  # as tracking takes every key that begins so
    registries.fetch_verified(version, tmp_path / "beside", options)
    assert (tmp_path / "beside/model/model.safetensors").read_bytes() == b"weights"
    server.state.artifacts["h"] = [tracked("s3://models/old/KEYB-7/model.safetensors", 8)]
    with pytest.raises(ModelkilnError, match="7 bytes came, expected 8"):
        registries.fetch_verified(version, tmp_path / "again", options)
    server.state.artifacts["h"] = [{**tracked("file:///etc/passwd", 7), "type": "Local"}]
    with pytest.raises(ModelkilnError, match="expected one in S3"):
        registries.fetch_verified(version, tmp_path / "again", options)


def tracked(location: str, size: int) -> dict[str, Any]:
    return {
        "filePath": "model.safetensors",
        "fileHash": "0" * 32,
        "type": "S3",
        "size": size,
        "metadata": [{"key": "location", "value": location}, {"key": "last_modified", "value": "2024-01-01 00:00:00"}],
    }
