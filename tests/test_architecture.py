"""Imports run downward, plug-ins don't know each other, and dvc.yaml's dependencies are what the stages import."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from imports import ROOT, closure, imported

from modelkiln import interpreter
from modelkiln.backends import neuron

PLUGINS = ("backends", "sources", "registries", "tasks")
# Each file may import from its own layer's left, never from its right.
LAYERS = [
    {"errors"},
    {"archives", "distributions", "env", "files", "git", "interpreter", "locking", "machine", "plugins", "progress"},
    {"artifact", "bounds", "figures", "lengths", "parity", "quality", "schema", "verdict"},
    {"contents", "golden", "neptune", "params", "s3", "sbom", "signing", "toolchain"},
    {"cache", "compose", "encoder_module", "layouts", "lock", "phrase_store", "reference", "vocabulary"},
    {"asked"},
    {"recording"},
    {"buckets", "neuron_sim", "onnx_export", "onnx_weights"},
    {"onnx_contents"},
    {"inferentia"},
    {"backends", "packed_module"},
    {"encoder"},
    {"keywords"},
    {"sources", "registries", "tasks", "worker"},
    {"plan"},
    {"gate"},
    {"difference", "promotion", "pyfunc", "revisions", "suite"},
    {"adapters", "batch", "bench", "compiler", "latency", "registration", "report", "trained", "validation"},
    {"lineage", "migration", "proof", "sweep"},
    {"dvc_cache"},
    {"checks", "cli"},
    {"stages"},
]
# Of which everything counts: the template of the page and the golden samples too, and whichever registry it is.
FOLDERS = {
    "download": ["modelkiln/neptune", "modelkiln/registries"],
    "compile": ["modelkiln/neuron_sim"],
    "validate": ["modelkiln/checks", "modelkiln/neuron_sim", "modelkiln/report"],
    "upload": ["modelkiln/neptune", "modelkiln/registries"],
}
LIBRARY = sorted(path.relative_to(ROOT) for path in (ROOT / "modelkiln").rglob("*.py"))
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# What a stage runs without importing it: plug-ins that params.yaml chooses, and modules that it starts as processes.
REGISTRIES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "modelkiln/registries").rglob("*.py"))
# What both of AWS Neuron's backends are made of: the stages depend on it whichever backend is chosen.
NEURON = [
    "modelkiln/inferentia.py",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "modelkiln/neuron_sim").glob("*.py")),
]
STARTED = {
    # A trained model comes from a registry, which need not be the one that the compiled model goes to, or an export.
    "download": [
        f"modelkiln/sources/{PARAMS['download']['source']}.py",
        "modelkiln/sources/neptune_export.py",
        "modelkiln/sources/registry.py",
        *REGISTRIES,
    ],
    "compile": ["modelkiln/worker.py", f"modelkiln/backends/{PARAMS['compile']['backend']}.py", *NEURON],
    "validate": [
        "modelkiln/bench/peer.py",
        *NEURON,
        f"modelkiln/backends/{PARAMS['compile']['backend']}.py",
        f"modelkiln/tasks/{PARAMS['compile']['task']}.py",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "modelkiln/checks").glob("*.py")),
    ],
    "upload": REGISTRIES,
}


def layer(file: Path) -> int:
    part = file.parts[0] if file.parts[0] == "stages" else file.parts[1].removesuffix(".py")
    (found,) = [number for number, names in enumerate(LAYERS) if part in names]
    return found


@pytest.mark.parametrize(
    "file", [file for file in LIBRARY if file.name != "__init__.py" or len(file.parts) > 2], ids=str
)
def test_imports_run_downward(file: Path) -> None:
    # The package's root is above all: load() puts the parts together.
    others = [other for other in imported(file) if other != Path("modelkiln/__init__.py")]
    upward = [str(other) for other in others if layer(other) > layer(file)]
    assert not upward


@pytest.mark.parametrize("kind", PLUGINS)
def test_plugins_never_import_each_other(kind: str) -> None:
    """A plug-in is a file in the folder of its kind, or a folder there."""
    folder = Path("modelkiln") / kind
    for file in (ROOT / folder).rglob("*.py"):
        own = file.relative_to(ROOT / folder).parts[0].removesuffix(".py")
        others = [path.relative_to(folder) for path in imported(file.relative_to(ROOT)) if folder in path.parents]
        assert {other.parts[0].removesuffix(".py") for other in others} <= {"__init__", own}, file


@pytest.mark.parametrize("stage", PIPELINE)
def test_dvc_depends_on_what_the_stage_runs(stage: str) -> None:
    runs = closure(Path(f"stages/{stage}.py"), *map(Path, STARTED[stage]))
    if stage == "compile":
        # Of the task it uses the names and the resources, so what that module imports inside its functions is not run.
        task = Path(f"modelkiln/tasks/{PARAMS['compile']['task']}.py")
        runs |= {task} | imported(task, inside_functions=False)
    names = {
        "download.source",
        "compile.backend",
        "compile.task",
        "compile.words",
        "validate.corpus",
        "validate.golden",
        "upload.reports",
    }
    values = {name: PARAMS[name.split(".")[0]][name.split(".")[1]] for name in names}
    declared = {re.sub(r"\$\{(.*?)\}", lambda match: values[match[1]], dep) for dep in PIPELINE[stage]["deps"]}
    needed = {str(file) for file in runs}
    for folder in FOLDERS.get(stage, ()):
        inside = {name for name in needed if name.startswith(f"{folder}/")}
        needed = (needed - inside) | ({folder} if inside else set())
    code = {dep for dep in declared if dep.startswith(("modelkiln", "stages"))} - {PARAMS["validate"]["golden"]}
    assert code == needed


# What runs under the interpreter that a backend needs (docs/decisions/0002-worker.md), with the plug-ins that it loads.
RINGS = {
    "the worker": [Path("modelkiln/worker.py"), Path("modelkiln/backends")],
    "the checks": [Path("modelkiln/checks"), Path("modelkiln/backends"), Path("modelkiln/tasks")],
    "a peer of the profile": [Path("modelkiln/bench/peer.py"), Path("modelkiln/backends"), Path("modelkiln/tasks")],
}
# Names that Python 3.10 lacks, where they would be imported.
NEWER = {
    "typing": {"LiteralString", "Never", "NotRequired", "Required", "Self", "Unpack", "assert_never", "override"},
    "enum": {"EnumType", "ReprEnum", "StrEnum", "verify"},
    "asyncio": {"TaskGroup", "Runner", "timeout"},
    "contextlib": {"chdir"},
    "datetime": {"UTC"},
    "itertools": {"batched"},
    "tomllib": {"load", "loads"},
}


@pytest.mark.parametrize("ring", RINGS)
def test_what_a_backends_own_interpreter_runs_stays_inside_python_3_9_syntax(ring: str) -> None:
    begun = [file.relative_to(ROOT) for path in RINGS[ring] for file in [ROOT / path, *(ROOT / path).rglob("*.py")]]
    files = closure(*(path for path in begun if path.suffix)) | {Path("modelkiln/__init__.py")}
    assert Path("modelkiln/artifact.py") in files
    assert not {Path("modelkiln/compiler.py"), Path("modelkiln/validation.py")} & files
    # PyYAML may be lacking where only the worker runs.
    assert ring != "the worker" or Path("modelkiln/params.py") not in files
    for file in files:
        ast.parse((ROOT / file).read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("file", [*LIBRARY, *(Path("stages") / path.name for path in (ROOT / "stages").glob("*.py"))])
def test_what_is_installed_stays_inside_the_oldest_python(file: Path) -> None:
    """What serves, too: on Inf1 there is nothing newer. mypy, which make lint runs, knows more names than NEWER."""
    tree = ast.parse((ROOT / file).read_text(), feature_version=interpreter.OLDEST)
    futures = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert "annotations" in futures or len(tree.body) <= 1, (
        f"{file}: annotations would be evaluated, and 3.9 has no `X | None`"
    )
    tree.body = [
        node for node in tree.body if not isinstance(node, ast.If) or ast.unparse(node.test) != "TYPE_CHECKING"
    ]
    newer = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in NEWER.get(node.module or "", ())
    ]
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not newer, f"{file}: Python 3.10 has no {newer}"
    assert "tomllib" not in imports, file


def test_oldest_python_is_one_and_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = ".".join(map(str, interpreter.OLDEST))
    assert project["project"]["requires-python"] == f">={oldest}"
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f" (Python {oldest}, " in neuron.INSTALL


@pytest.mark.parametrize("file", LIBRARY, ids=str)
def test_files_can_be_read_in_one_sitting(file: Path) -> None:
    assert len((ROOT / file).read_text().splitlines()) <= 270
