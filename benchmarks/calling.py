"""Calls of a served Tesseract: what their arrays cost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tesseract_core import Tesseract

from benchmarks.measure import Action, Ratio, command, paired

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "vectoradd"


def ratios() -> Iterator[Ratio]:
    command("tesseract", "build", str(EXAMPLE))()
    inputs = {"a": np.random.default_rng(1).random(1_000_000), "b": np.ones(1_000_000)}
    with Tesseract.from_image("vectoradd") as tesseract:
        yield paired(
            "apply, 16 MB in and 8 MB out",
            _apply(tesseract, inputs),
            "the same in base64",
            _apply(tesseract.with_encoding(output_format="json+base64"), inputs),
            budget=0.9,
            rounds=15,
        )


def _apply(tesseract: Tesseract, inputs: dict[str, np.ndarray]) -> Action:
    def call() -> None:
        tesseract.apply(inputs)

    return call
