"""Where the tests register: the embedded registry or a real server, each under a name of its own; and what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import contents
from modelkiln.artifact import read_manifest
from modelkiln.registries import Ref, Registration, Version, mlflow


@dataclass(frozen=True)
class Place:
    """A registry, and a name in it that nobody else uses."""

    options: mlflow.Options
    name: str
    address: str  # absolute, as MLflow's own client takes it
    files: Path  # where the files of the versions lie

    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.address, self.address)

    def numbers(self) -> list[str]:
        """The versions of the name that MLflow has, complete or not."""
        return sorted(str(found.version) for found in self.client().search_model_versions(f"name = '{self.name}'"))

    def held(self, name: str) -> Path:
        """The one file of that name which the registry holds for us."""
        experiment = self.client().get_experiment_by_name(self.name).experiment_id
        run_ids = [run.info.run_id for run in self.client().search_runs([experiment])]
        (found,) = [path for path in self.files.rglob(name) if set(path.parts) & set(run_ids)]
        return found


def compiled(place: Place, folder: Path, **changes: Any) -> Registration:
    """An artifact that is to be registered."""
    made: dict[str, Any] = {
        "name": place.name,
        "project": place.name,
        "kind": contents.COMPILED,
        "digest": read_manifest(folder).digest,
        "model": folder,
        "extras": {"card.md": "# card\n", "verdict.json": "{}\n"},
        "tags": {"git_commit": "abc"},
        "card": "# card\n",
    }
    return Registration(**{**made, **changes})


def trained(place: Place, folder: Path, files: Mapping[str, bytes] | None = None) -> Registration:
    """A model of any files, which takes no compiler and no torch; `files` are written into the folder first."""
    for name, data in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    extras = {"card.md": "# card\n", "golden/inputs.json": '["Tram"]\n'}
    listed = contents.list_contents(folder, extras, "")
    digest = contents.digest_of(listed)
    own = {**extras, contents.CONTENTS: listed}
    return Registration(
        place.name, place.name, contents.TRAINED, digest, folder, own, {"git_commit": "abc"}, "# card\n"
    )


SMALL = {"model.safetensors": b"weights" * 1000, "tokenizer.json": b"{}", "1_Pooling/config.json": b"{}\n"}


def seen(place: Place) -> set[tuple[str, str]]:
    """The number and digest of all that any reader sees; checks that the readers agree."""
    from modelkiln import ModelkilnError

    try:
        listed = mlflow.versions(place.name, place.options)
    except ModelkilnError:  # not even the name
        return set()
    for version in listed:
        assert mlflow.find(place.name, version.digest, place.options) == version
        assert mlflow.resolve(Ref("mlflow", place.name, version=version.version), place.options) == version
    return {(version.version, version.digest) for version in listed}


def the_only(place: Place, wanted: Registration) -> Version:
    """The one complete version there is, of that digest; nothing of other attempts is left."""
    assert [digest for _, digest in seen(place)] == [wanted.digest]
    ((number, _),) = seen(place)
    assert place.numbers() == [number]
    return mlflow.resolve(Ref("mlflow", place.name, version=number), place.options)
