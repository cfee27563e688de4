"""`modelkiln compose`, `check-lock` and `revisions`: what conf/ gives, and whether dvc.lock and the hub still agree."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Written(Enum):
    """What `compose` may be limited to."""

    params = "params"
    toolchain = "toolchain"


def compose(
    overrides: Annotated[list[str] | None, typer.Argument(help="Choices, as `backend=generic env=prod`.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if params.yaml differs.")] = False,
    only: Annotated[Written | None, typer.Option(help="Write one of the two files.")] = None,
) -> None:
    """Write params.yaml from conf/, and toolchain.yaml from the versions that are installed.

    Example: `modelkiln compose env=prod`, then `dvc repro`.
    """
    from modelkiln import compose as composing
    from modelkiln import toolchain
    from modelkiln.files import write_text
    from modelkiln.params import PARAMS, from_data, load

    if only is Written.toolchain:
        chosen = load().compile
    else:
        data = composing.compose(overrides=overrides or [])
        chosen = from_data(data, str(composing.CONF)).compile
        if check:
            composing.check(data)
            print(f"{PARAMS} is what conf/ gives")
        else:
            write_text(PARAMS, composing.to_yaml(data))
            print(f"wrote {PARAMS}")
    if only is not Written.params:
        pythons = composing.interpreters(chosen)
        if check:
            toolchain.check_file(pythons)
            print(f"{toolchain.TOOLCHAIN} is what is installed")
        else:
            toolchain.write(pythons)
            print(f"wrote {toolchain.TOOLCHAIN}")


def check_lock(
    stages: Annotated[
        list[str] | None, typer.Argument(help="With those before them, as `validate`; none: all.")
    ] = None,
) -> None:
    """Check that dvc.lock is of this code and these params; needs no data. Exit code 1 if a stage would run anew.

    Example, before a push: `modelkiln compose --check && modelkiln check-lock validate`
    """
    from modelkiln import lock

    lock.check(stages or [])
    print(f"{lock.LOCK} is of this code and these params")


def revisions(
    write: Annotated[bool, typer.Option("--write", help="Pin them in conf/model/.")] = False,
) -> None:
    """Look for newer revisions of the models that conf/ takes from the hub.

    Only a revision in which a pinned file is another one counts.
    Example: `modelkiln revisions --write && modelkiln compose`, then `dvc exp run -S model=NAME validate`.
    """
    from modelkiln import revisions as looking

    for found in looking.look():
        print(found)
        if write and found.changed:
            looking.pin(found)
            print(f"wrote {found.option}")
