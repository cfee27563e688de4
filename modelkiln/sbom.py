"""The artifact's software bill of materials: what it takes to serve it, as CycloneDX 1.6 JSON.

https://cyclonedx.org/docs/1.6/json/. It holds no time, and its serial number is made from what it says: the same
environment gives the same bytes. docs/decisions/0014-lineage.md has the reasons.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelkiln import distributions
from modelkiln.errors import ModelkilnError
from modelkiln.files import to_json

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

ARTIFACT = "artifact"  # the name of its root among the distributions
OURS = "modelkiln"
VERSION = r"[0-9][0-9a-z.+]{0,40}"
# A serial number is a UUID: not a random one here, but one of what the file says (RFC 9562, version 5).
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.6")


def roots(runtime: Sequence[str]) -> dict[str, list[str]]:
    """What to ask distributions.closure for, in the interpreter that serves, so that `render` can list it.

    Args:
        runtime: The backend's RUNTIME.

    Raises:
        ModelkilnError: the library that writes the list is missing, or modelkiln itself is not installed.
    """
    try:
        import cyclonedx.output.json  # noqa: F401
    except ImportError as error:
        raise ModelkilnError(
            f"compiling lists what serving needs, by cyclonedx-python-lib: pip install 'modelkiln[compile]' ({error})"
        ) from error
    return {OURS: distributions.own(OURS)[1], ARTIFACT: list(runtime)}


def render(
    model: str, revision: str, properties: Mapping[str, str], python: str, found: Mapping[str, Mapping[str, Any]]
) -> str:
    """The text of sbom.json.

    Args:
        model: The source model's name.
        revision: Which one it is.
        properties: What else to say of the artifact, by names of modelkiln's own.
        python: The version of the interpreter that serves.
        found: What distributions.closure found for `roots`.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    subject = Component(
        name=model,
        version=revision,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=ARTIFACT,
        properties=[Property(name=f"modelkiln:{name}", value=value) for name, value in properties.items()],
    )
    interpreter = Component(
        name="python",
        version=python,
        type=ComponentType.PLATFORM,
        bom_ref="python",
        purl=PackageURL("generic", name="python", version=python),
    )
    # The interpreter that serves need not have modelkiln; it is given this one.
    found = {**found, OURS: {**found[OURS], **distributions.own(OURS)[0]}}
    components = {name: _library(name, of) for name, of in found.items() if name != ARTIFACT}
    bom = Bom(components=[interpreter, *components.values()])
    bom.metadata.component = subject
    for name, of in found.items():
        needed = [components[each] for each in of["requires"]]
        if name == ARTIFACT:
            bom.register_dependency(subject, [interpreter, components[OURS], *needed])
        else:
            bom.register_dependency(components[name], needed)
    data = json.loads(JsonV1Dot6(bom).output_as_string())
    del data["metadata"]["timestamp"], data["serialNumber"]
    return to_json({**data, "serialNumber": uuid.uuid5(NAMESPACE, to_json(data)).urn})


def _library(name: str, of: Mapping[str, Any]) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        name=name,
        version=of["version"],
        type=ComponentType.LIBRARY,
        bom_ref=name,
        purl=PackageURL("pypi", name=name, version=of["version"]),
        licenses=_licenses(of["licenses"]),
    )


def _licenses(said: list[str]) -> list[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    factory = LicenseFactory()
    if len(said) == 1:
        return [factory.make_from_string(said[0])]
    # Of several, none may be an expression, in the format.
    return [factory.make_with_name(name) for name in said]


def differences(listed: str, wanted: str) -> list[str]:
    """In what two texts of sbom.json differ, a line each: by components first, which are what people look at.

    modelkiln's own version is left out: a release that changes nothing that compiles leaves artifacts as they are.
    """
    try:
        found, expected = read(listed), read(wanted)
        same = _without_own_version(listed) == _without_own_version(wanted)
    except ModelkilnError as error:
        return [str(error)]
    lines = [
        f"{name} is {found.get(name, 'not listed')}, expected {expected.get(name, 'not listed')}"
        for name in sorted({*found, *expected} - {OURS})
        if found.get(name, "not listed") != expected.get(name, "not listed")
    ]
    return lines or ([] if same else ["the same components, and something else about them"])


def _without_own_version(text: str) -> Any:
    """What the text says but for that; a serial number that is not of what it says is kept, since it is wrong."""
    data = json.loads(text)
    serial = data.pop("serialNumber", None)
    if serial != uuid.uuid5(NAMESPACE, to_json(data)).urn:
        data["serialNumber"] = serial
    for each in data["components"]:
        version = str(each.get("version"))
        if each["name"] == OURS and re.fullmatch(VERSION, version) and each.get("purl") == f"pkg:pypi/{OURS}@{version}":
            del each["version"], each["purl"]
    return data


def read(text: str) -> dict[str, str | None]:
    """The version of each library that an sbom.json lists, None where it was not installed; python's is among them.

    Raises:
        ModelkilnError: it is damaged.
    """
    try:
        return {str(each["name"]): each.get("version") for each in json.loads(text)["components"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelkilnError(f"sbom.json is damaged: {error!r}") from error
