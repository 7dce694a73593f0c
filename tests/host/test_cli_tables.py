"""Tables at the width of a terminal, and in a pipe."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesseract.cli import tables

pytestmark = pytest.mark.fast

IMAGES = [
    ["ID", "Tags", "Name", "Version", "Size", "Mapped", "Description"],
    [
        "dd485979edef",
        "vectoradd:1.0.0, vectoradd:latest",
        "vectoradd",
        "1.0.0",
        "320 MB",
        "320 MB",
        "Adds two vectors, element by element, and gives the derivatives too",
    ],
    ["0123456789ab", "pendulum:latest", "pendulum", "unknown", "1.2 GB", "0 B", ""],
]
FLEXIBLE, DROPPABLE = ("Tags", "Name", "Version", "Description"), ("Mapped", "Description")


def test_a_pipe_has_a_line_for_each_row() -> None:
    found, dropped = tables.lines(IMAGES, None, FLEXIBLE, DROPPABLE)
    assert (len(found), dropped) == (3, [])
    assert found[1].startswith("dd485979edef  vectoradd:1.0.0, vectoradd:latest  vectoradd  1.0.0    320 MB")
    assert found[1].endswith("and gives the derivatives too")


def test_eighty_columns() -> None:
    found, dropped = tables.lines(IMAGES, 80, FLEXIBLE, DROPPABLE)
    assert dropped == ["Mapped"]
    assert found == [
        "ID            Tags                Name       Version  Size    Description",
        "dd485979edef  vectoradd:1.0.0,    vectoradd  1.0.0    320 MB  Adds two vectors,",
        "              vectoradd:latest                                element by",
        "                                                              element, and gives",
        "                                                              the derivatives…",
        "0123456789ab  pendulum:latest     pendulum   unknown  1.2 GB",
    ]


def test_a_wide_terminal_breaks_nothing() -> None:
    assert tables.lines(IMAGES, 200, FLEXIBLE, DROPPABLE) == tables.lines(IMAGES)


def test_a_terminal_that_is_too_narrow_for_all_cuts_and_says_so() -> None:
    found, dropped = tables.lines(IMAGES, 40, FLEXIBLE, DROPPABLE)
    assert dropped == ["Mapped", "Description"]
    assert all(len(line) <= 40 for line in found)
    assert found[0].endswith("…")


def test_wide_characters_keep_the_columns_straight() -> None:
    found, _ = tables.lines([["Name", "Version"], ["振り子", "1"], ["pendulum", "2"]])
    assert found == ["Name      Version", "振り子    1", "pendulum  2"]


@settings(deadline=None)
@given(st.lists(st.lists(st.text(max_size=30), min_size=3, max_size=3), min_size=1), st.integers(1, 100))
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], edge: int) -> None:
    found, _ = tables.lines([["A", "B", "C"], *rows], edge, ("A", "B"), ("C",))
    assert all(tables._width(line) <= edge for line in found)
    assert len(tables.lines([["A", "B", "C"], *rows])[0]) == len(rows) + 1


def test_descriptions_are_brief() -> None:
    assert tables.brief(r"Adds two\n vectors") == "Adds two vectors"
    long = tables.brief("word, " * 100)
    assert long.endswith("word…")
    assert len(long) <= 61
