"""Dockerfile, .dockerignore and the compose files say what they should. No image is built here: docs/containers.md."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modelkiln import plugins
from modelkiln.compose import compose

TARGETS = ["generic", "neuron", "neuronx", "serve"]
VENDOR_INDEX = "https://pip.repos.neuron.amazonaws.com"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
IGNORE = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
DOCS = (ROOT / "docs" / "containers.md").read_text()
REQUIREMENTS = ROOT / "requirements"


def build_stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """The Dockerfile as {stage: (what it is made from, its instructions)}, in order."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    instructions: list[tuple[str, str]] = []
    for word, rest in re.findall(r"(?m)^([A-Z]+) +(.*)$", text):
        if word == "FROM":
            origin, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            stages[name] = (origin, instructions := [])
        else:
            instructions.append((word, rest))
    return stages


STAGES = build_stages()


def instructions(target: str) -> list[tuple[str, str]]:
    """All that happens in a target, from its base image on."""
    if target not in STAGES:
        return []
    origin, own = STAGES[target]
    return instructions(origin) + own


def installs(stage: str) -> list[list[str]]:
    """Each `pip install` and `pip wheel` of one stage, as words."""
    commands = [command for word, rest in STAGES[stage][1] if word == "RUN" for command in rest.split("&&")]
    split = [shlex.split(command) for command in commands]
    return [words for words in split if any("pip" in word for word in words) and {"install", "wheel"} & set(words)]


def pins(name: str) -> dict[str, frozenset[str]]:
    """A requirements file as {name==version: hashes}, with those that it includes."""
    text = (REQUIREMENTS / name).read_text() + "\n"
    entries = re.findall(r"(?m)^([\w.-]+(?:\[\w+\])?==[^\s;\\]+)[^\n]*\n((?:    --hash=.*\n)*)", text)
    own = {pin: frozenset(re.findall(r"sha256:\w{64}", hashes)) for pin, hashes in entries}
    included = re.findall(r"(?m)^-r (\S+)$", text)
    return {**own, **{pin: hashes for other in included for pin, hashes in pins(other).items()}}


def pinned(name: str) -> dict[str, str]:
    """A requirements file as {name: version}; no name is in it twice, by itself or by what it includes."""
    names = [re.sub(r"\[.*?\]", "", pin).partition("==") for pin in pins(name)]
    found = {library: version for library, _, version in names}
    assert len(found) == len(names), f"{name}: a library with two versions"
    return found


def needed(requirements: list[str]) -> set[str]:
    """What these need on this machine, all the way down, by canonical name."""
    found: set[tuple[str, str]] = set()
    left = [(Requirement(line), "") for line in requirements]
    while left:
        requirement, extra = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for asked in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), asked)) not in found:
                found.add(key)
                left += [(Requirement(line), asked) for line in metadata.requires(requirement.name) or ()]
    return {name for name, _ in found}


def test_targets_are_there_and_a_plain_build_gives_generic() -> None:
    assert set(TARGETS) <= set(STAGES)
    assert list(STAGES)[-1] == "generic"


@pytest.mark.parametrize("target", TARGETS)
def test_target_ends_as_a_user_without_rights(target: str) -> None:
    """By number, so that a host can tell, too (Kubernetes' runAsNonRoot does)."""
    users = [rest for word, rest in instructions(target) if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*", users[-1])


def test_base_image_can_be_chosen() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "ARG BASE_IMAGE=python:3.11-slim-bookworm\n" in text
    outside = {origin for origin, _ in STAGES.values()} - set(STAGES)
    assert outside == {"${BASE_IMAGE}", "${NEURON_PYTHON_IMAGE}"}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if installs(stage)])
def test_everything_installed_is_pinned(stage: str) -> None:
    for words in installs(stage):
        assert "--no-cache-dir" in words, words
        named = [word for word in words if word.startswith("/opt/requirements/")]
        if named:
            (file,) = (Path(word).name for word in named)
            lines = [line for line in (REQUIREMENTS / file).read_text().splitlines() if line and line[0] not in " #"]
            others = {f"--extra-index-url {VENDOR_INDEX}", "-r torch-1.13.txt"}
            assert all("==" in line or line in others for line in lines), file
            assert "--require-hashes" in words or file in {"torch.txt", "torch-1.13.txt", "neuron.txt", "neuronx.txt"}
            if "--constraint" in words:
                assert words[-2:] == [named[0], "torch"]
                assert "torch" in pinned(file)
        else:  # the project itself, or one exact version
            own = "--no-deps" in words and ("--no-build-isolation" in words or "--no-index" in words)
            assert own or re.fullmatch(r"[\w-]+==[\d.]+", words[-1]), words


@pytest.mark.parametrize("target", ["pipeline", "serve"])
def test_change_of_the_code_installs_nothing_again(target: str) -> None:
    steps = instructions(target)
    copies = [number for number, (word, _) in enumerate(steps) if word == "COPY"]
    code = next(number for number in copies if "/opt/requirements" not in steps[number][1])
    assert not any("/opt/requirements" in rest for _, rest in steps[code:])
    assert any("--require-hashes" in rest for _, rest in steps[:code])


@pytest.mark.parametrize("worker", ["neuron-worker", "neuronx-worker"])
def test_vendor_interpreter_does_not_depend_on_the_code(worker: str) -> None:
    """And finds all that its requirements include."""
    file = f"{worker.removesuffix('-worker')}.txt"
    included = re.findall(r"(?m)^-r (\S+)$", (REQUIREMENTS / file).read_text())
    names = [f"requirements/{name}" for name in (*included, file)]
    assert [rest for word, rest in instructions(worker) if word == "COPY"] == [" ".join([*names, "/opt/requirements/"])]


@pytest.mark.parametrize("image", ["build", "generic", "serve"])
def test_what_an_image_installs_is_part_of_the_lock(image: str) -> None:
    lock, part = pins("lock.txt"), pins(f"{image}.txt")
    assert part
    assert {pin: lock.get(pin) for pin in part} == part
    assert all(part.values())


@pytest.mark.parametrize("image", ["generic", "serve"])
def test_what_an_image_installs_is_all_that_its_extras_need(image: str) -> None:
    """On this machine; the file has what others need as well."""
    asked = [line for line in (REQUIREMENTS / f"{image}.in").read_text().splitlines() if not line.startswith("#")]
    named = [line.removesuffix(" @ .") for line in asked]
    there = {canonicalize_name(pin.split("==")[0]) for pin in pins(f"{image}.txt")}
    # Here torch may be the build with CUDA, whose own libraries the image's build for CPUs does without.
    lacking = {name for name in needed(named) - there if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert lacking <= {"modelkiln", "torch"}


def test_serve_has_the_runtime_alone() -> None:
    there = {pin.split("==")[0] for pin in pins("serve.txt")}
    assert {"numpy", "onnxruntime", "tokenizers", "typer"} <= there
    assert not {"torch", "transformers", "dvc", "onnx", "scikit-learn", "mlflow-skinny", "setuptools"} & there
    assert STAGES["serve"][0] == "base"


@pytest.mark.parametrize("image", ["neuron", "neuronx"])
def test_vendor_packages_are_exact_and_from_its_index(image: str) -> None:
    """And for the torch that the image installs first, which is a build for CPUs."""
    assert f"\n--extra-index-url {VENDOR_INDEX}\n" in (REQUIREMENTS / f"{image}.txt").read_text()
    found = pinned(f"{image}.txt")
    assert re.fullmatch(rf"{re.escape(found['torch'])}(\.\d+)+", found[f"torch-{image}"])
    first, last = installs(f"{image}-worker")
    assert first[-3:] == ["--constraint", first[-2], "torch"]
    assert last[-2:] == ["-r", f"/opt/requirements/{image}.txt"]
    assert pinned(Path(first[-2]).name)["torch"] == found["torch"]


def test_interpreters_of_their_own_compare_with_the_same_libraries() -> None:
    """What differs goes with torch; KeyBERT, which is compared with, is one and the same, and the lock's too."""
    old, new = pinned("torch-1.13.txt"), pinned("neuronx.txt")
    assert {name for name in old.keys() & new.keys() if old[name] != new[name]} == {
        *("torch", "transformers", "tokenizers", "sentence-transformers")
    }
    assert f"keybert=={old['keybert']}" in pins("lock.txt")
    assert pinned("neuron.txt").items() >= old.items()
    # sentence-transformers 3 and later import the trainer of transformers, which asks for torch 2.
    assert (old["torch"][0], old["sentence-transformers"][0]) == ("1", "2")


def test_docs_name_the_versions_that_are_installed() -> None:
    text = (ROOT / "docs" / "neuron.md").read_text()
    rows = {cells[0]: cells[1:] for line in text.splitlines() if len(cells := re.split(r" *\| *", line)[1:-1]) == 3}
    for backend, packages, versions in zip(("neuron", "neuronx"), rows["packages"], rows["Python, torch"], strict=True):
        found = pinned(f"{backend}.txt")
        compiler = "neuron-cc" if backend == "neuron" else "neuronx-cc"
        assert packages == f"torch-{backend} {found[f'torch-{backend}']}, {compiler} {found[compiler]}"
        python, torch = versions.split(", ")
        assert torch == found["torch"]
        # As the backend itself says where the vendor's packages are missing, and as its image has it.
        assert plugins.load("backends", backend).INSTALL.endswith(f" (Python {python}, torch {torch})")
        image = {"neuron": "NEURON_PYTHON_IMAGE", "neuronx": "BASE_IMAGE"}[backend]
        (offered,) = re.findall(rf"(?m)^ARG {image}=python:([\d.]+)-", (ROOT / "Dockerfile").read_text())
        assert offered == python.split(" to ")[0]


@pytest.mark.parametrize("backend", ["neuron", "neuronx"])
def test_vendor_image_is_for_its_backend(backend: str) -> None:
    """Its choices compose, and it has the packages that the backend asks for."""
    (choices,) = re.findall(r'^MODELKILN_CHOICES="(.*)"$', dict(STAGES[backend][1])["ENV"])
    section = compose(ROOT / "conf", choices.split())["compile"]
    assert section["backend"] == backend
    assert section["python"].startswith(f"/opt/{backend}/bin/python")
    asked = dict(each.split("==") for each in plugins.load("backends", backend).INSTALL.partition(" (")[0].split())
    assert f"torch-{backend}" in asked
    assert pinned(f"{backend}.txt").items() >= asked.items()


@pytest.mark.parametrize("command", ["HEALTHCHECK", "ENTRYPOINT", "CMD"])
def test_serve_runs_commands_that_there_are(command: str, modelkiln_command: Any) -> None:
    own = dict(STAGES["serve"][1])
    words = re.findall(r'"([^"]+)"', own[command])
    assert (words[0] == "modelkiln") is (command != "CMD")
    (*_, subcommand) = [word for word in words if word not in {"modelkiln", "/model"}] or ["--help"]
    assert modelkiln_command(subcommand, "--help").returncode == 0


def test_only_what_is_named_goes_into_an_image() -> None:
    assert IGNORE[0] == "*"
    let_in = [line[1:] for line in IGNORE if line.startswith("!")]
    assert all((ROOT / name).exists() for name in let_in)
    assert not {".git", ".dvc", ".env", ".venv", "artifacts", "registry", "reports", "shared", "tests"} & set(let_in)
    assert {"**/__pycache__", "**/*.pyc"} <= set(IGNORE[len(let_in) :])


def test_everything_that_a_stage_depends_on_goes_into_the_image() -> None:
    let_in = [Path(line[1:]) for line in IGNORE if line.startswith("!")]
    made = ("artifacts/", "reports/", "receipts/", "$")
    for stage in PIPELINE.values():
        for dep in (dep for dep in stage["deps"] if not dep.startswith(made)):
            assert any(path in (Path(dep), *Path(dep).parents) for path in let_in), dep


def test_compose_runs_the_stages_of_the_pipeline_in_its_order() -> None:
    services = {name: service for name, service in COMPOSE["services"].items() if not service.get("profiles")}
    assert list(services) == list(PIPELINE)
    before = None
    for name, service in services.items():
        *_, shell = service["command"]
        assert shell.endswith(f" && exec {PIPELINE[name]['cmd']}")
        wanted = {before: {"condition": "service_completed_successfully"}} if before else None
        assert service.get("depends_on") == wanted
        before = name


def test_compose_keeps_what_the_stages_write_and_lets_none_write_conf() -> None:
    """An empty volume takes its owner from the folder of the image, so that folder has to be there."""
    (made,) = re.findall(r"mkdir -p ([\w ]+?) +&&", dict(STAGES["pipeline"][1])["RUN"])
    for name in PIPELINE:
        volumes = COMPOSE["services"][name]["volumes"]
        assert "./conf:/app/conf:ro" in volumes
        assert {f"{folder}:/app/{folder}" for folder in made.split()} == set(volumes) - {"./conf:/app/conf:ro"}
    assert set(made.split()) == set(COMPOSE["volumes"])
    outs = [out if isinstance(out, str) else next(iter(out)) for stage in PIPELINE.values() for out in stage["outs"]]
    written = {Path(out).parts[0] for out in outs}
    assert written <= set(made.split())


def test_no_file_holds_a_secret() -> None:
    for service in COMPOSE["services"].values():
        assert all(value is None for value in service.get("environment", {}).values())
    assert not re.search(r"(?i)(?:ARG|ENV)[^\n]*(?:token|password|secret|_key)", (ROOT / "Dockerfile").read_text())


def test_neuron_device_is_given_to_the_stage_that_asks_the_compiled_model() -> None:
    override = yaml.safe_load((ROOT / "compose.neuron.yaml").read_text())
    assert override == {"services": {"validate": {"devices": ["/dev/neuron0:/dev/neuron0"]}}}


def test_docs_build_targets_that_there_are() -> None:
    built = re.findall(r"docker build[^\n]*--target (\S+)", DOCS + (ROOT / "Makefile").read_text())
    assert set(built) == set(TARGETS)
    for service in re.findall(r"docker compose run (?:-\S+ )*(\w+)", DOCS + (ROOT / "compose.yaml").read_text()):
        assert service in COMPOSE["services"]
    for stage in re.findall(r"python -m stages\.(\w+)", DOCS):
        assert stage in PIPELINE
