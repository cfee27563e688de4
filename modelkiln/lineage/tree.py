"""The chain for people: a tree on a terminal, indented lines elsewhere."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelkiln.artifact import Manifest
from modelkiln.lineage import Chain, Held, Run, Unknown, project
from modelkiln.registries import Version

if TYPE_CHECKING:
    from rich.tree import Tree


@dataclass(frozen=True)
class Node:
    """A line, and what stands below it."""

    text: str
    below: tuple[Node, ...] = ()


def show(chain: Chain) -> None:
    """Prints the chain on stdout."""
    root = nodes(chain)
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(_drawn(root))
    else:
        print("\n".join(lines(root)))


def lines(node: Node, depth: int = 0) -> Iterator[str]:
    """The tree as text, two blanks for each level."""
    yield "  " * depth + node.text
    for each in node.below:
        yield from lines(each, depth + 1)


def nodes(chain: Chain) -> Node:
    """The chain as a tree, from the source to the registries."""
    parts = [
        _source(chain),
        _params(chain.params),
        _toolchain(chain.manifest),
        _files(chain.manifest),
        _serving(chain.serving),
        _verdict(chain),
        *_run(chain.run),
        _signature(chain.signature),
        *([Node("registered", tuple(map(_held, chain.held)))] if chain.held else []),
        *(
            [Node("receipts/upload.json: version {version} of {name} at {location}".format(**chain.receipt))]
            if chain.receipt
            else []
        ),
        *(Node(f"note: {note}") for note in chain.notes),
    ]
    return Node(f"artifact {chain.digest}", tuple(parts))


def _source(chain: Chain) -> Node:
    if isinstance(chain.manifest, Unknown):
        return Node(f"source {chain.manifest}")
    said = chain.manifest.source
    below = [Node(f"{said['id']} {said['revision']}, by {said['source']}")]
    if isinstance(chain.source_files, Unknown):
        below.append(Node(f"files {chain.source_files}"))
    else:
        listed = "".join(f"{digest}  {path}\n" for path, digest in sorted(chain.source_files.items()))
        below.append(Node(f"{len(chain.source_files)} files, digest {hashlib.sha256(listed.encode()).hexdigest()}"))
    if isinstance(chain.source_version, Unknown):
        below.append(Node(f"registered {chain.source_version}"))
    elif chain.source_version:
        compiled = ", ".join(chain.source_version.compiled) or "nothing, as far as the registry knows"
        below.append(Node(f"registered {_registered(chain.source_version)}, compiled into {compiled}"))
    return Node(f"source {said['model']} ({said['variant']})", tuple(below))


def _params(params: Mapping[str, Any] | Unknown) -> Node:
    if isinstance(params, Unknown):
        return Node(f"params {params}")
    sections = []
    for name, section in params.items():
        # The pins stand among the source's files.
        shown = {key: value for key, value in section.items() if (name, key) != ("download", "files")}
        sections.append(Node(name, tuple(Node(f"{key} {json.dumps(value)}") for key, value in shown.items())))
    return Node("params", tuple(sections))


def _toolchain(manifest: Manifest | Unknown) -> Node:
    if isinstance(manifest, Unknown):
        return Node(f"toolchain {manifest}")
    said = ", ".join(f"{library} {version}" for library, version in manifest.toolchain.items())
    what = f"{manifest.backend} {manifest.precision}, for {manifest.task}"
    return Node(f"compiled for {what}", (Node(f"toolchain {said}"),))


def _files(manifest: Manifest | Unknown) -> Node:
    if isinstance(manifest, Unknown):
        return Node(f"files {manifest}")
    listed = [Node(f"{name} {file.size:,} bytes, sha256 {file.sha256}") for name, file in manifest.files.items()]
    return Node(f"{len(listed)} files", tuple(listed))


def _serving(serving: Mapping[str, str | None] | Unknown) -> Node:
    if isinstance(serving, Unknown):
        return Node(f"serving {serving}")
    absent = [name for name, version in serving.items() if version is None]
    note = f", {len(absent)} of them not installed: {', '.join(absent)}" if absent else ""
    return Node(f"serving needs {len(serving)} components, listed in sbom.json{note}")


def _verdict(chain: Chain) -> Node:
    verdict = chain.verdict
    if isinstance(verdict, Unknown):
        return Node(f"verdict {verdict}")
    applicable = verdict.applicable()
    passed = len(applicable) - len(verdict.failed())
    said = "positive" if verdict.passed else f"negative: {verdict.reason()}"
    below = (
        Node(f"sha256 {chain.verdict_sha256}"),
        Node(f"{passed} of {len(applicable)} checks passed, {len(verdict.checks) - len(applicable)} not applicable"),
        Node(f"bounds {_joined(verdict.bounds)}"),
        Node(f"golden samples sha256 {verdict.golden or 'unknown'}"),
        Node(f"corpus sha256 {verdict.corpus or 'unknown'}"),
    )
    return Node(f"verdict {said}", below)


def _run(run: Run) -> tuple[Node, ...]:
    clean = {"yes": "", "no": ", with changes that were not committed"}.get(run.git_clean, ", clean or not: unknown")
    commit = f"git commit {run.git_commit}{'' if isinstance(run.git_commit, Unknown) else clean}"
    where = "in this folder" if run.recorded == project.HERE else f"in commit {run.recorded}"
    recorded = f"where {run.recorded}" if isinstance(run.recorded, Unknown) else where
    return Node(commit), Node(f"dvc.lock md5 {run.dvc_lock_md5}", (Node(recorded),))


def _signature(signature: str | Unknown) -> Node:
    if isinstance(signature, Unknown):
        return Node(f"signature {signature}")
    return Node(f"signature by the key of sha256 {signature}; `modelkiln verify --key` would check it")


def _held(held: Held) -> Node:
    if isinstance(held.versions, Unknown):
        return Node(f"{held.registry} {held.versions}")
    none = Node(f"no version of {' or '.join(held.names)} is this artifact")
    return Node(held.registry, tuple(Node(_registered(version)) for version in held.versions) or (none,))


def _registered(version: Version) -> str:
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    return f"{version.ref}{aliases}, at {version.location}"


def _joined(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "unknown"


def _drawn(node: Node) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    word, _, rest = node.text.partition(" ")
    tree = Tree(Text.assemble((word, "bold"), f" {rest}" if rest else ""))
    for each in node.below:
        tree.children.append(_drawn(each))
    return tree
