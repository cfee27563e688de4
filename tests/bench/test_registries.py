"""What a registry costs is measured on real servers, by real transfers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.registries import STEPS, measure_registries


@pytest.mark.heavy
def test_each_registry_is_measured_beside_its_client_and_a_plain_copy(tiny_artifact: Path) -> None:
    found = measure_registries(tiny_artifact, 1)
    places = ("mlflow, embedded", "mlflow, server", "neptune")
    expected = [("plain copy", "copy"), *((place, step) for place in places for step in STEPS)]
    assert [(row["place"], row["step"]) for row in found["rows"]] == expected
    assert found["rows"][0]["times_copy"] == 1
    assert all(row["seconds"] > 0 and row["peak_mb"] > 10 for row in found["rows"])
