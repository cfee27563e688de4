"""compile.python: another interpreter compiles and judges, is given modelkiln, and if it can't, one line says why."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiling import asked_of, fetch_local
from imports import ROOT
from tiny import build_tiny_model

from modelkiln import ModelkilnError, artifact, compose, interpreter, load, params, plan, sbom, toolchain, validation
from modelkiln.bounds import STRICT
from modelkiln.compiler import compile_artifact
from modelkiln.golden import SHIPPED
from modelkiln.params import Compile, Envelope, Validate

VERSIONS = toolchain.read(["generic", "keywords"], ROOT / "toolchain.yaml")
ENCODERS = {"document": Envelope(48), "word": Envelope(48)}
JUDGED = Validate(STRICT, golden=str(SHIPPED), corpus=str(SHIPPED), profile_rounds=0)
# The heavy tests': Python 3.10 or 3.11 with requirements/torch-1.13.txt. `make test-interpreters` makes and names it.
TORCH_1_13 = "TORCH_1_13_PYTHON"


def compile_with(python: str | None, source: Path, dest: Path, versions: dict[str, str]) -> artifact.Manifest:
    return compile_artifact(source, dest, Compile("keywords", ENCODERS, "generic", "fp32", 8, python=python), versions)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path.name


@pytest.fixture
def other(scripts: Path) -> str:
    """A command that runs this interpreter, and notes its PYTHONPATH and arguments in other.log beside it."""
    return script(scripts / "other", f'echo "$PYTHONPATH $*" >> {scripts}/other.log\nexec {sys.executable} "$@"')


def test_other_interpreter_compiles_the_same_artifact(
    other: str, scripts: Path, tiny_source: Path, tiny_artifact: Path, tmp_path: Path
) -> None:
    made = compile_with(other, tiny_source, tmp_path / "artifact", VERSIONS)
    used = [line for line in (scripts / "other.log").read_text().splitlines() if "modelkiln.worker" in line]
    assert len(used) == 1
    # The same libraries, hence the same graph, and the same is needed to serve it.
    ours = artifact.read_manifest(tiny_artifact).files
    assert {name: made.files[name] for name in ("graphs/encoder.pt", "sbom.json")} == {
        name: ours[name] for name in ("graphs/encoder.pt", "sbom.json")
    }
    # Neither our PYTHONPATH nor the folder that holds this modelkiln, which may be our site-packages.
    assert used[0].split()[0] not in (str(ROOT), os.environ.get("PYTHONPATH"))


def test_other_interpreter_judges(
    other: str, scripts: Path, tiny_source: Path, tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With our plug-in, which is not installed there: -p, and no other plug-in, or it would be there twice."""
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "modelkiln.py").write_text("raise ImportError('of our PYTHONPATH')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "poison"))
    (tmp_path / "reports").mkdir()
    few = ("-k", "test_artifact")
    verdict = validation.judge(
        tiny_artifact, tiny_source, tmp_path / "reports", replace(JUDGED, python=other), asked_of(tiny_artifact), *few
    )
    names = {each.name for each in plan.CHECKS if each.name.startswith("artifact: ")}
    assert {check.name: check.outcome for check in verdict.checks} == dict.fromkeys(names, "passed")
    assert " pytest " in (scripts / "other.log").read_text()


def test_modules_of_the_folder_it_is_run_in_are_not_taken(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('of the folder')")
    monkeypatch.chdir(tmp_path)
    assert interpreter.versions(other, ["numpy"])["python"] == toolchain.python_version()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no-such-python: no such interpreter; expected the path of a Python 3.10 or newer"),
        ("exit 3", "no-such-python: no Python 3.10 or newer that can be used: it said nothing (exit code 3)"),
        ("echo one >&2; echo not set up >&2; exit 1", "that can be used: not set up"),
        ("echo hello", "that can be used: Expecting value"),
        (
            f'exec {sys.executable} -S "$@"',
            "no-such-python lacks numpy, safetensors, tokenizers, torch, transformers, keybert, pytest, scikit-learn, "
            "sentence-transformers: install them there",
        ),
    ],
)
def test_interpreter_that_will_not_do_is_one_line_before_anything_is_compiled(
    text: str | None, message: str, scripts: Path, tiny_source: Path, tmp_path: Path
) -> None:
    if text:
        script(scripts / "no-such-python", text)
    started = time.monotonic()
    with pytest.raises(ModelkilnError) as raised:
        compile_with("no-such-python", tiny_source, tmp_path / "artifact", VERSIONS)
    assert time.monotonic() - started < 20
    assert str(raised.value).startswith("compile.python: no-such-python")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "artifact").exists()


def test_python_that_is_too_old_is_told_apart(
    other: str, tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "RUN", interpreter.RUN.replace("(3, 10)", "(9, 9)"))
    with pytest.raises(ModelkilnError, match=r"compile\.python: other: .*Python 3\.\d+ is too old"):
        compile_with(other, tiny_source, tmp_path / "artifact", VERSIONS)


def test_checks_of_an_interpreter_that_lacks_their_libraries_are_not_begun(
    scripts: Path, tiny_source: Path, tiny_artifact: Path, tmp_path: Path
) -> None:
    bare = script(scripts / "bare", f'exec {sys.executable} -S "$@"')
    with pytest.raises(ModelkilnError, match=r"validate\.python: bare lacks keybert, pytest"):
        validation.validate(
            tiny_artifact, tiny_source, tmp_path / "reports", replace(JUDGED, python=bare), asked_of(tiny_artifact)
        )
    assert not (tmp_path / "reports").exists()


def test_toolchain_has_what_the_other_interpreter_has(scripts: Path, tmp_path: Path) -> None:
    found = {"python": "3.10", "torch": "1.13.1", "keybert": "0.9.0", "scikit-learn": "1.7.2"}
    old = script(scripts / "old", f"echo '{json.dumps(found)}'")
    path = tmp_path / "toolchain.yaml"
    toolchain.write({"generic": old}, path)
    written = yaml.safe_load(path.read_text())
    checks = {"keybert": "0.9.0", "scikit-learn": "1.7.2"}
    assert written["generic"] == {"python": "3.10", "torch": "1.13.1", "checks": checks}
    assert {**written, "generic": {}} == {**toolchain.record(), "generic": {}}
    # The compile stage's: the graph is theirs, the stop words are ours. And the validate stage's: all is theirs.
    ours = written["keywords"]["scikit-learn"]
    assert toolchain.read(["generic", "keywords"], path) == {"python": "3.10", "torch": "1.13.1", "scikit-learn": ours}
    assert toolchain.read(["generic", "checks"], path) == {"python": "3.10", "torch": "1.13.1", **checks}
    toolchain.check(toolchain.read(["generic", "checks"], path), old)
    toolchain.check_file({"generic": old}, path)
    script(scripts / "old", f"echo '{json.dumps({**found, 'keybert': '0.8.5'})}'")
    with pytest.raises(ModelkilnError, match=r"keybert is 0\.8\.5, expected 0\.9\.0"):
        toolchain.check_file({"generic": old}, path)


def test_interpreter_that_is_not_there_leaves_its_group_empty(tmp_path: Path) -> None:
    """Whoever compiles for another backend does not need it."""
    toolchain.write({"generic": "no-such-python"}, tmp_path / "toolchain.yaml")
    assert yaml.safe_load((tmp_path / "toolchain.yaml").read_text())["generic"] == {}
    toolchain.check_file({"generic": "no-such-python"}, tmp_path / "toolchain.yaml")


def test_one_choice_is_of_the_interpreter_that_compiles_and_the_one_that_judges() -> None:
    composed = params.from_data(compose.compose(ROOT / "conf", ["backend=generic", "compile.python=/opt/py"]), "conf/")
    assert (composed.compile.python, composed.validate.python) == ("/opt/py", "/opt/py")
    assert compose.interpreters(composed.compile, ROOT / "conf")["generic"] == "/opt/py"


def torch_1_13() -> str:
    """The heavy tests' interpreter."""
    python = os.environ.get(TORCH_1_13)
    if not python or not shutil.which(python):
        pytest.skip(f"no interpreter with torch 1.13; `make test-interpreters` makes one and names it in {TORCH_1_13}")
    return python


@pytest.mark.heavy
def test_torch_1_13_compiles_and_judges_from_end_to_end(tmp_path: Path) -> None:
    python = torch_1_13()
    model = build_tiny_model(tmp_path / "model")
    path = tmp_path / "toolchain.yaml"
    toolchain.write({"generic": python}, path)
    # transformers 5 has saved it, under a name that 4.49 does not know.
    newer = fetch_local(model, tmp_path / "newer", "tiny")
    with pytest.raises(
        ModelkilnError, match=r"transformers 4\.\S+ can't load its tokenizer .*save it with that version"
    ):
        compile_with(python, newer, tmp_path / "artifact", toolchain.read(["generic", "keywords"], path))
    # As 4.49 would have:
    config = model / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}))
    source = fetch_local(model, tmp_path / "source", "tiny")
    made = compile_with(python, source, tmp_path / "artifact", toolchain.read(["generic", "keywords"], path))
    listed = (ROOT / "requirements" / "torch-1.13.txt").read_text().split()
    assert {f"{name}=={made.toolchain[name]}" for name in ("torch", "transformers")} <= set(listed)
    assert made.toolchain["torch"].startswith("1.13.")
    assert made.toolchain["python"] in ("3.10", "3.11")
    serving = sbom.read((tmp_path / "artifact" / artifact.SBOM).read_text())
    assert (serving["torch"], serving["numpy"], serving["python"]) == ("1.13.1", "1.26.4", made.toolchain["python"])
    assert serving["modelkiln"]  # which is not installed there, but ours is
    toolchain.check(toolchain.read(["generic", "checks"], path), python, "validate.python")
    few = tmp_path / "golden.jsonl"
    few.write_text("".join(SHIPPED.read_text("utf-8").splitlines(keepends=True)[:5]), "utf-8")
    judged = replace(JUDGED, golden=str(few), corpus=str(few), profile_rounds=1, python=python)
    verdict = validation.validate(
        tmp_path / "artifact", source, tmp_path / "reports", judged, asked_of(tmp_path / "artifact")
    )
    assert verdict.passed, verdict.failures()
    measured = json.loads((tmp_path / "reports" / "latency.json").read_text())
    assert measured["compiled"]["p50_ms"] > 0
    page = (tmp_path / "reports" / "report.html").read_text("utf-8")
    assert made.toolchain["torch"] in page
    assert toolchain.installed(["torch"])["torch"] not in page
    text = tmp_path / "text.txt"
    text.write_text("The tram line opens on Friday.", "utf-8")
    assert "all as they were compiled" in serve(python, "verify", tmp_path / "artifact")
    assert "generic fp32" in serve(python, "info", tmp_path / "artifact")
    (line,) = serve(
        python, "extract", tmp_path / "artifact", text, "--ngrams", "1,2", "--diversify", "mmr"
    ).splitlines()
    answer = load(tmp_path / "artifact").extract_keywords(text.read_text(), keyphrase_ngram_range=(1, 2), use_mmr=True)
    assert [name for name, _ in json.loads(line)["keywords"]] == [name for name, _ in answer]


def serve(python: str, *arguments: object) -> str:
    """What the command `modelkiln` says under that interpreter."""
    with interpreter.chosen(python) as run:
        command = run.command("modelkiln.cli", *map(str, arguments))
        return subprocess.run(command, env=run.environment(), stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.heavy
def test_torch_1_13_imports_all_that_is_installed() -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "modelkiln").rglob("*.py")]
    names = [".".join(path.parts) for path in files if path.name != "__main__" and "checks" not in path.parts]
    script = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    with interpreter.chosen(torch_1_13()) as run:
        subprocess.run([run.executable, "-W", "ignore", "-c", script, *names], env=run.environment(), check=True)


class Runs:
    """A pickle of it is code: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.heavy
def test_torch_1_13_runs_no_pickle(tmp_path: Path) -> None:
    python = torch_1_13()
    model = build_tiny_model(tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(tmp_path / "it ran")))
    script = "import sys; from pathlib import Path; from modelkiln.reference import load_uncompiled; "
    script += "load_uncompiled(Path(sys.argv[1]), 'fetch it again')"
    with interpreter.chosen(python) as run:
        done = subprocess.run(
            [run.executable, "-c", script, str(model)],
            env=run.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "has weights as pickles (pytorch_model.bin), which are code; fetch it again" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "it ran").exists()
