"""conf/ -> params.yaml, by Hydra. `dvc repro` never reads conf/, so params.yaml is committed and checked against it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelkiln import params
from modelkiln.errors import ModelkilnError, one_line, raise_all

CONF = Path("conf")
HEADER = "# Written by `modelkiln compose` from conf/; edit conf/, and compose again.\n"


def compose(conf: Path = CONF, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The params that conf/ gives with the overrides, such as `backend=generic`; checked as the stages check them.

    Raises:
        ModelkilnError: an unknown option, a mistyped key, a value that was left open; all mistakes at once.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not (conf / "config.yaml").exists():
        raise ModelkilnError(f"{conf / 'config.yaml'}: not found; run this in the project's folder")
    # Resolved, it would stand in params.yaml, in git and in dvc.lock: the place of secrets is the environment.
    texts = {str(file): file.read_text("utf-8", "replace") for file in sorted(conf.rglob("*.yaml"))}
    texts |= {override: override for override in overrides}
    leaks = [name for name, text in texts.items() if re.search(r"\boc\.env\b", text)]
    raise_all("params may not come from the environment (${oc.env:…})", leaks)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            config = hydra_compose("config", overrides=list(overrides))
        data = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ModelkilnError(f"{conf}: {one_line(error)}") from error
    raise_all("left open (???)", list(_open_values(data, "")))
    params.from_data(data, "conf/")
    return data  # type: ignore[return-value]


def interpreters(chosen: params.Compile, conf: Path = CONF) -> dict[str, str]:
    """{backend: python} of the backends that conf/ gives an interpreter of their own, and of the chosen one.

    Of all, since an experiment may choose any.
    """
    files = sorted((conf / "backend").glob("*.yaml"))
    options = [compose(conf, [f"backend={file.stem}"])["compile"] for file in files]
    pythons = {each["backend"]: each["python"] for each in options} | {chosen.backend: chosen.python}
    return {backend: python for backend, python in pythons.items() if python}


def to_yaml(data: dict[str, Any]) -> str:
    """params.yaml's text, in the order of conf/."""
    return HEADER + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def check(data: dict[str, Any], path: Path = params.PARAMS) -> None:
    """Raises a ModelkilnError that names each place where the file and `data` disagree; comments don't count."""
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelkilnError(f"{path}: {one_line(error)}; write it with `modelkiln compose`") from error
    raise_all(
        f"{path} is not what conf/ gives (`modelkiln compose` writes it anew)",
        list(_differences(written, data, "")),
    )


def _open_values(data: Any, where: str) -> Iterator[str]:
    if data == "???":
        yield where
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _open_values(value, f"{where}.{key}".lstrip("."))


def _differences(written: Any, composed: Any, where: str) -> Iterator[str]:
    if isinstance(written, dict) and isinstance(composed, dict):
        for key in sorted({*written, *composed}, key=str):
            yield from _differences(written.get(key), composed.get(key), f"{where}.{key}".lstrip("."))
    elif written != composed:
        yield f"{where}: {written!r}, conf/ says {composed!r}"
