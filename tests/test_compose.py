"""conf/ composes into params.yaml, the committed one is what it gives, and mistakes are caught while composing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from imports import ROOT

from modelkiln import ModelkilnError
from modelkiln.compose import check, compose, to_yaml

CONF = ROOT / "conf"
OPTIONS = [(file.parent.name, file.stem) for file in sorted(CONF.glob("*/*.yaml"))]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def test_committed_params_are_what_conf_gives() -> None:
    check(compose(CONF), ROOT / "params.yaml")


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids="/".join)
def test_every_option_composes_into_params_that_the_stages_take(group: str, option: str) -> None:
    assert compose(CONF, [f"{group}={option}"])


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids="/".join)
def test_every_option_says_how_to_choose_it(group: str, option: str) -> None:
    assert f"dvc exp run -S {group}={option}" in (CONF / group / f"{option}.yaml").read_text()


def test_option_changes_only_its_own_params() -> None:
    base, other = compose(CONF), compose(CONF, ["env=prod"])
    assert (other["download"], other["compile"]) == (base["download"], base["compile"])
    assert other["upload"]["alias"] == "challenger"
    assert other["upload"]["options"]["tracking_uri"] is None


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("backend=genric", ["backend/genric", "generic"]),
        ("model=bert", ["all-MiniLM-L6-v2", "paraphrase-multilingual-MiniLM-L12-v2"]),
        ("variant=tained", ["variant/tained", "base", "trained"]),
        ("nogroup=x", ["nogroup"]),
        ("+nogroup=x", ["nogroup: unknown key"]),
        ("compile.max_bach=3", ["max_bach"]),
        ("compile.max_batch=0", ["max_batch must be at least 1"]),
        ("validate.golden=???", ["left open (???): validate.golden"]),
        ("compile.max_batch=", ["expected a whole number, found ''"]),
        ("=", ["="]),
        ("upload.project=${ oc.env:HOME}", ["may not come from the environment"]),
    ],
)
def test_mistyped_override_is_one_clear_line(override: str, parts: list[str]) -> None:
    with pytest.raises(ModelkilnError) as raised:
        compose(CONF, [override])
    assert "\n" not in str(raised.value)
    for part in parts:
        assert part in str(raised.value)


def test_conf_that_reads_the_environment_is_refused(conf: Path) -> None:
    """Its value would land in params.yaml, and so in git."""
    with (conf / "env" / "dev.yaml").open("a") as file:
        file.write("  password: ${oc.env:PASSWORD}\n")
    with pytest.raises(ModelkilnError, match=r"may not come from the environment.*dev\.yaml"):
        compose(conf)


def test_stale_params_are_named_key_by_key(tmp_path: Path) -> None:
    data = compose(CONF)
    stale = compose(CONF, ["compile.max_batch=7"])
    (tmp_path / "params.yaml").write_text(to_yaml(stale))
    with pytest.raises(ModelkilnError, match=r"compile\.max_batch: 7, conf/ says 512"):
        check(data, tmp_path / "params.yaml")


def test_what_is_written_reads_back_as_composed(tmp_path: Path) -> None:
    data = compose(CONF)
    (tmp_path / "params.yaml").write_text(to_yaml(data))
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == data
