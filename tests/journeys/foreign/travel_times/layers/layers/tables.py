"""Velocities of common rocks, read from the file that is installed with the package."""

import csv
from importlib.resources import files


def _read() -> dict[str, float]:
    with (files(__package__) / "velocities.csv").open(newline="") as file:
        return {row["rock"]: float(row["velocity"]) for row in csv.DictReader(file)}


VELOCITIES = _read()
