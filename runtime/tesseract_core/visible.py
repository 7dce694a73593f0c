"""Text of others on a terminal: what would steer the terminal, or the eye, is shown instead of obeyed.

Names, log lines and error texts come from images, containers, clients and servers. Whoever prints them passes them
through here, once, where they are printed.
"""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), line and paragraph separators, half surrogates, and what has no width of its own:
# marks that turn the direction of writing, zero-width spaces, tags. The joiners U+200C and U+200D stay: scripts need
# them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_UNSEEN_IN_LINES = re.compile(_UNSEEN.pattern.replace("[\x00-\x1f", "[\x00-\x08\x0b-\x1f"))


def visible(text: str) -> str:
    r"""One line: each character that a terminal obeys or hides as its escape (`\n`, `\x1b`, `\u202e`).

    What is visible stays as it is, so that a second time changes nothing.
    """
    return text if text.isprintable() else _UNSEEN.sub(_escape, text)


def visible_lines(text: str) -> str:
    r"""The same for a text of several lines: newlines and tabs stay, `\r\n` counts as a newline."""
    return text if text.isprintable() else _UNSEEN_IN_LINES.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
