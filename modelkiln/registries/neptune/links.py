"""What was compiled from a Neptune model version: the list that its users' tools read, and modelkiln's own record.

The list, model/compiled_model_versions, is one value, and Neptune has no way to change it only if nobody else has. So
each link is first an attribute of its own, `modelkiln/compiled/REF`, and whoever writes the list puts into it all those
that it lacks, then looks again. Of several that write at once, the last one to write the list sees the attributes of
all others, and puts back what it has overwritten.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError
from modelkiln.files import write_text
from modelkiln.neptune.layout import COMPILED_VERSIONS, OWN
from modelkiln.registries.neptune import client as neptune_client
from modelkiln.registries.neptune import files as neptune_files

LINKS = f"{OWN}/compiled/"
ATTEMPTS = 10  # each is needed only when another writer came in between
Entry = dict[str, Any]


def entry(project: str, model: str, with_id: str) -> Entry:
    """An entry of the list. Of another registry: its location, the model's name there, and the reference to it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"project": project, "model": model, "with_id": with_id, "time_stamp": now}


def add(source: Any, ref: str, new: Entry, where: str) -> None:
    """Adds what was compiled to a version that is open for writing; what is there already stays as it is."""
    name = LINKS + ref
    if name not in neptune_client.attributes(source):
        source[name] = json.dumps(new, ensure_ascii=False)
    for _ in range(ATTEMPTS):
        source.sync()
        links = _own(neptune_client.values(source))
        entries = read(source, where)
        missing = [each for each in links.values() if not any(_is_same(each, other) for other in entries)]
        if not missing:
            return
        _write(source, [*entries, *missing], where)
    raise ModelkilnError(f"{where}: {COMPILED_VERSIONS} is changed by somebody else all the time; try again")


def compiled(source: Any, key: str, project: str, where: str) -> tuple[str, ...]:
    """The references of all that was compiled from a version: `neptune:KEY/3` or, elsewhere, `mlflow:NAME/3`.

    Args:
        source: The version, open for reading.
        key: The key of its project.
        project: Its project: what lies in another one keeps its full id, as neptune:PROJ-KEY/3.
        where: Names the version, for errors.
    """
    found = set(_own(neptune_client.values(source)))
    for each in read(source, where):
        if isinstance(each, Mapping) and (ref := _ref(each, key, project)):
            found.add(ref)
    return tuple(sorted(found))


def read(source: Any, where: str) -> list[Any]:
    """The entries of the list, whoever wrote them."""
    kinds = neptune_client.attributes(source)
    found = neptune_files.read_json(source, kinds, COMPILED_VERSIONS, where)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ModelkilnError(f"{where}: {COMPILED_VERSIONS} is no JSON list")
    return found


def _own(values: Mapping[str, Any]) -> dict[str, Entry]:
    return {name.removeprefix(LINKS): json.loads(value) for name, value in values.items() if name.startswith(LINKS)}


def _ref(each: Mapping[str, Any], key: str, project: str) -> str | None:
    with_id = str(each.get("with_id", ""))
    if ":" in with_id:
        return with_id
    if match := re.fullmatch(r"(.+)-([0-9]+)", with_id):
        name = match[1].removeprefix(f"{key}-") if each.get("project") in (project, None) else match[1]
        return f"neptune:{name}/{match[2]}"
    return None


def _is_same(one: Entry, other: Any) -> bool:
    return isinstance(other, Mapping) and all(one.get(name) == other.get(name) for name in ("project", "with_id"))


def _write(source: Any, entries: list[Any], where: str) -> None:
    text = json.dumps(entries, indent=2, ensure_ascii=False)
    kind = neptune_client.attributes(source).get(COMPILED_VERSIONS, "File")
    if kind == "String":
        text = json.dumps(entries, ensure_ascii=False)
        if len(text) > neptune_client.TEXT_LIMIT:
            raise ModelkilnError(
                f"{where}: {COMPILED_VERSIONS} is a text, which ends at {neptune_client.TEXT_LIMIT} characters; "
                "store it as a file"
            )
        source[COMPILED_VERSIONS] = text
    elif kind == "File":
        with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
            path = Path(scratch) / "list.json"
            write_text(path, text)
            source[COMPILED_VERSIONS].upload(str(path))
    else:
        raise ModelkilnError(f"{where}: {COMPILED_VERSIONS} is a {kind}, expected a File or a text; it stays as it is")
