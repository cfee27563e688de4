"""`generic`: TorchScript, traced. Runs wherever torch runs, with any batch and length.

Two compiles give the same bytes, also one after the other in one process.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln import archives
from modelkiln.backends import Run
from modelkiln.errors import ModelkilnError, one_line

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
RUNTIME = ("torch",)
PRECISIONS = ("fp32",)
BATCH_DEPENDENT = ()
REPEATABLE = True
DEVICE = None
MACHINE = None
LAYOUT = "padded"
DEBUG_INFO = (".debug_pkl", "/.data/serialization_id")
# What TorchScript's archives hold: pickles, code, tensors, and how they were written.
ENTRIES = (
    r"[^/]+/(?:(?:data|constants)\.pkl|code/.+\.py|(?:constants|data)/\d+|(?:\.data/)?version|byteorder"
    r"|\.format_version|\.storage_alignment)"
)
TENSOR = re.compile(r"[^/]+/(?:constants|data)/\d+")
NUMBER = re.compile(rb"___torch_mangle_\d+")
GRAPH = "encoder.pt"  # fixed: TorchScript writes the file's name into the file


@dataclass(frozen=True)
class Options:
    """The options of torch.jit.trace that change the graph."""

    strict: bool = True  # refuse modules that return or keep mutable containers


def compile_graph(
    module: Any,
    example: tuple[Any, Any],
    path: Path,
    options: Options,
    precision: str,  # noqa: ARG001 (the contract's)
) -> None:
    """Traces the module and saves the frozen graph; see Backend.compile_graph."""
    import torch

    with torch.no_grad(), _deprecation_understood(), warnings.catch_warnings():
        # transformers leaves the mask out when nothing is padded, and the tracer warns that it keeps the branch that it
        # saw. The example is padded, so the branch with the mask is the one that it keeps: right for every input.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", FutureWarning)  # transformers warns of names that it uses itself
        traced: Any = torch.jit.trace(module, example, strict=options.strict)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced.eval()), str(path))
    _strip_traces(path)


def load_graph(
    path: Path,
    options: Options,  # noqa: ARG001 (the contract's)
    precision: str,  # noqa: ARG001
    threads: int | None = None,
) -> Run:
    """Loads the graph onto the CPU; see Backend.load_graph."""
    try:
        import torch
    except ImportError as error:
        raise ModelkilnError(f"backend 'generic' needs torch: pip install 'modelkiln[generic]' ({error})") from error
    if threads:
        torch.set_num_threads(threads)  # of the whole process: torch knows no other
    try:
        with _deprecation_understood():
            graph = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelkilnError(f"{path}: torch can't load the graph here: {one_line(error)}") from error

    def run(*inputs: Any) -> Any:
        with torch.inference_mode():
            (vectors,) = graph(*map(torch.from_numpy, inputs))
        return vectors.numpy()

    return run


def refers_to(path: Path) -> list[str]:  # noqa: ARG001 (the contract's)
    """Nothing: all of it is in one file."""
    return []


def strangers(path: Path, options: Options) -> list[str]:  # noqa: ARG001 (the contract's)
    """Entries of the archive that are none of TorchScript's, and tensors that its code has no name for."""
    found = archives.strangers(path, ENTRIES)
    if found:
        return found
    with zipfile.ZipFile(path) as saved:
        pickles = [saved.read(name) for name in saved.namelist() if name.endswith(".pkl")]
        tensors = [name for name in saved.namelist() if TENSOR.fullmatch(name)]
    # Looked at as text, and never run.
    named = {said for each in pickles for _, said, _ in pickletools.genops(each) if isinstance(said, str)}
    return [f"a tensor {name!r} that nothing reads" for name in tensors if name.rpartition("/")[2] not in named]


def _strip_traces(path: Path) -> None:
    """Takes out what tells where and when it was traced, so that the same model gives the same bytes anywhere.

    That is the source lines of the operations, which name this machine's own folders, torch's checksum over them, and
    the numbers that it gives classes of one name, by which it counts all that a process has traced or loaded.
    """
    with zipfile.ZipFile(path) as saved:
        records = {name: saved.read(name) for name in saved.namelist() if not name.endswith(DEBUG_INFO)}
    text = (".py", ".pkl")  # pickles of protocol 2 have names of classes as lines of text
    found = [
        number
        for name, data in records.items()
        for number in NUMBER.findall(name.encode() + data * name.endswith(text))
    ]
    numbers = {number: b"___torch_mangle_%d" % place for place, number in enumerate(dict.fromkeys(found))}

    def renumbered(data: bytes) -> bytes:
        return NUMBER.sub(lambda match: numbers[match[0]], data)

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as stripped:
        for name, data in records.items():
            # A ZipInfo of its own has no time.
            stripped.writestr(
                zipfile.ZipInfo(renumbered(name.encode()).decode()), renumbered(data) if name.endswith(text) else data
            )


@contextmanager
def _deprecation_understood() -> Iterator[None]:
    """TorchScript is deprecated since torch 2.13. It is what the first users run, so it stays until they have moved:
    docs/decisions/0003-torchscript.md. This is the one place that knows; any other warning passes through."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+` is (deprecated|not supported)")
        yield
