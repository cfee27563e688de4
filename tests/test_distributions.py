"""What distributions need is read from their own metadata, all the way down."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelkiln import ModelkilnError
from modelkiln.distributions import closure, own


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path; what has a METADATA file in it is installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, version: str, *lines: str) -> None:
    """Installs a distribution that has nothing but metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines]))


def test_goes_all_the_way_down_and_round_circles(install: Path) -> None:
    put(install, "mk-one", "1.0", "Requires-Dist: mk_Two>=2")
    put(install, "mk-two", "2.5", "Requires-Dist: mk.three")
    put(install, "mk-three", "3", "Requires-Dist: mk-one")
    found = closure({"root": ["mk-one"]})
    assert list(found) == ["mk-one", "mk-three", "mk-two", "root"]
    assert {name: (of.get("version"), of["requires"]) for name, of in found.items()} == {
        "root": (None, ["mk-one"]),
        "mk-one": ("1.0", ["mk-two"]),
        "mk-two": ("2.5", ["mk-three"]),
        "mk-three": ("3", ["mk-one"]),
    }


def test_what_another_system_or_an_extra_needs_is_left_out(install: Path) -> None:
    put(
        *(install, "mk-one", "1.0"),
        "Requires-Dist: mk-always",
        'Requires-Dist: mk-elsewhere; sys_platform == "nowhere"',
        'Requires-Dist: mk-extra; extra == "more"',
    )
    for name in ("mk-always", "mk-elsewhere", "mk-extra"):
        put(install, name, "1")
    assert closure({"root": ["mk-one"]})["mk-one"]["requires"] == ["mk-always"]
    assert closure({"root": ["mk-one[more]"]})["mk-one"]["requires"] == ["mk-always", "mk-extra"]
    # Asked for with the extra later than without it.
    both = closure({"root": ["mk-one"], "other": ["mk-one[more]"]})
    assert both["mk-one"]["requires"] == ["mk-always", "mk-extra"]


def test_what_is_not_installed_has_no_version() -> None:
    found = closure({"root": ["mk_absent>=1"]})
    assert found == {
        "mk-absent": {"version": None, "licenses": [], "requires": []},
        "root": {"requires": ["mk-absent"]},
    }


def test_version_is_the_releases(install: Path) -> None:
    put(install, "mk-one", "2.13.0+cpu")
    assert closure({"root": ["mk-one"]})["mk-one"]["version"] == "2.13.0"


@pytest.mark.parametrize(
    ("lines", "licenses"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: other"], ["MIT OR Apache-2.0"]),
        (["License: BSD-3-Clause", "Classifier: License :: OSI Approved :: MIT License"], ["BSD-3-Clause"]),
        (
            [
                "License: A licence's text",
                "        on two lines",
                "Classifier: License :: OSI Approved",
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: Public Domain",
            ],
            ["MIT License", "Public Domain"],
        ),
        ([f"License: {'x' * 200}"], []),
        (["License: UNKNOWN"], []),
        ([], []),
    ],
)
def test_licenses_are_as_the_metadata_names_them(lines: list[str], licenses: list[str], install: Path) -> None:
    put(install, "mk-one", "1", *lines)
    assert closure({"root": ["mk-one"]})["mk-one"]["licenses"] == licenses


def test_own_requirements_are_those_that_stand_in_pyproject() -> None:
    about, needed = own("modelkiln")
    assert about["version"]
    without_extras = closure({"modelkiln": needed})["modelkiln"]["requires"]
    assert without_extras == ["numpy", "rich", "tokenizers", "typer"]


def test_what_runs_without_being_installed_says_how_to_install_it() -> None:
    with pytest.raises(ModelkilnError, match=r"mk-absent runs here, but is not installed.*pip install --no-deps -e"):
        own("mk-absent")
