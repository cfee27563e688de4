"""Compiles the model: artifacts/source -> artifacts/compiled."""

from __future__ import annotations

from modelkiln import params, toolchain
from modelkiln.compiler import compile_artifact
from stages import COMPILED, SOURCE, run


def compile_model() -> None:
    """The artifact, by the toolchain that toolchain.yaml names."""
    section = params.load().compile
    compile_artifact(SOURCE, COMPILED, section, toolchain.read([section.backend, section.task]))


if __name__ == "__main__":
    run(compile_model)
