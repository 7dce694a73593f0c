"""Text of others on a terminal: what steers it is shown as its escape."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tesseract_core.visible import visible, visible_lines

pytestmark = pytest.mark.fast

TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN")
JOINERS = "\u200c\u200d"  # scripts need them


def is_dangerous(character: str) -> bool:
    """Whether Unicode says that it controls, ends lines, turns the direction of writing, or is half a character."""
    turns = unicodedata.bidirectional(character) in TURNING and character not in JOINERS
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or turns


def test_nothing_that_unicode_calls_a_control_gets_through() -> None:
    # Python counts unassigned code points (Cn) in.
    through = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if is_dangerous(chr(code)) and visible(chr(code)) == chr(code) and unicodedata.category(chr(code)) != "Cn"
    ]
    assert through == []


def test_what_people_write_stays() -> None:
    for text in ("Ångström 10⁻³ – “déjà vu”", "ניסיון", "تجربة", "می\u200cخواهم", "漢字", "👩\u200d🔬", "a\xa0b", ""):
        assert visible(text) == visible_lines(text) == text


def test_one_line_is_one_line() -> None:
    assert visible("a\n [x] Aborting\x1b[2K\r\tb\x9b1m\u202e\u2028\x7f") == (
        r"a\n [x] Aborting\x1b[2K\r\tb\x9b1m\u202e\u2028\x7f"
    )


def test_lines_stay_lines() -> None:
    assert visible_lines("a\r\nb\tc\nd\re\x0bf\x85g") == "a\nb\tc\nd\\re\\x0bf\\x85g"


@given(st.text())
def test_twice_is_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert visible_lines(visible_lines(text)) == visible_lines(text)
    assert len(visible(text).splitlines()) <= 1
