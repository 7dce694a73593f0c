"""A data loader over a folder that is mounted with --volume, by a pattern of file names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

RATE, AMPLITUDE, BACKGROUND = 0.25, 40.0, 0.5
PATTERN = "@/mnt/testdata/*.json"


def put_assays(folder: Path) -> None:
    """Four assays without noise, so that the fit must find what made them."""
    (folder / "testdata").mkdir()
    for number in range(4):
        hours = np.linspace(0.5 * number, 10 + number, 12)
        dilution = 1.0 + number
        seen = AMPLITUDE * np.exp(-RATE * hours) / dilution + BACKGROUND
        assay = {"hours": hours.tolist(), "concentration": seen.tolist(), "dilution": dilution}
        (folder / f"testdata/vial_{number}.json").write_text(json.dumps(assay))


def slopes() -> np.ndarray:
    """d (amplitude, rate) / d background by the implicit function theorem: J^T J dp = J^T (-dilution)."""
    rows, moved = [], []
    for number in range(4):
        hours = np.linspace(0.5 * number, 10 + number, 12)
        decay = np.exp(-RATE * hours)
        rows.append(np.column_stack([decay, -AMPLITUDE * hours * decay]))
        moved.append(np.full(12, -(1.0 + number)))
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(moved), rcond=None)[0]


def test_assays(foreign: Callable[..., Foreign]) -> None:
    assays = foreign("assays", put_assays)
    volume = f"{assays.folder}/testdata:/mnt/testdata:ro"
    inputs = {"assays": PATTERN, "background": BACKGROUND}

    found = assays.run("apply", {"inputs": inputs}, "--volume", volume)
    assert (found["assays"], found["rate"], found["amplitude"]) == (
        4,
        pytest.approx(RATE, rel=1e-9),
        pytest.approx(AMPLITUDE, rel=1e-9),
    )

    config = {"binref_roots": ["/mnt/testdata"]}
    with Tesseract.from_image(assays.name, volumes=[volume], runtime_config=config) as t:
        assert float(t.apply({**inputs, "keep": 2})["rate"]) == pytest.approx(RATE, rel=1e-9)
        jacobian = t.jacobian(inputs, ["background"], ["rate", "amplitude"])
        amplitude, rate = slopes()
        assert float(jacobian["rate"]["background"]) == pytest.approx(rate, rel=1e-4)
        assert float(jacobian["amplitude"]["background"]) == pytest.approx(amplitude, rel=1e-4)
    with Tesseract.from_image(assays.name, volumes=[volume]) as t, pytest.raises(Exception, match="/mnt/testdata"):
        t.apply(inputs)
