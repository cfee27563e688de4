"""What the task ships for its predictor, each file of it, against what the library that users know has."""

from __future__ import annotations

from pathlib import Path

from modelkiln import tasks
from modelkiln.artifact import Manifest
from modelkiln.checks.plugin import Judge
from modelkiln.files import read_json
from modelkiln.recording import Facts

SHOWN = 5  # of what is too much or missing


def test_every_file_is_what_the_reference_library_has(
    folder: Path, manifest: Manifest, facts: Facts, judge: Judge
) -> None:
    listed = {name.partition("/")[2] for name in manifest.files if name.startswith(f"{tasks.FOLDER}/")}
    wrong = [f"{name} is missing" for name in sorted(set(facts.resources) - listed)]
    wrong += [f"{name} is not the task's" for name in sorted(listed - set(facts.resources))]
    for name in sorted(listed & set(facts.resources)):
        found = read_json(folder / tasks.FOLDER / name, "a file of the task")
        if found != facts.resources[name]:
            wrong.append(f"{name}: {_difference(found, facts.resources[name])}")
    judge.hold("different", len(wrong))
    assert not wrong, "; ".join(wrong)


def _difference(found: object, wanted: object) -> str:
    """Which parts differ, where both are lists by name; or that they do."""
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return "has other contents"
    parts = []
    for name in sorted({*found, *wanted}):
        here, there = found.get(name), wanted.get(name)
        if isinstance(here, list) and isinstance(there, list):
            parts += [f"{name} lacks {each!r}" for each in there if each not in here][:SHOWN]
            parts += [f"{name} has {each!r} too many" for each in here if each not in there][:SHOWN]
        elif here != there:
            parts.append(f"{name} is {'missing' if here is None else 'another'}")
    return ", ".join(parts) or "the same in another order"
