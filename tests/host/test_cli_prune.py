"""`tesseract prune`: what it says of things that go, stay, or are gone already."""

from __future__ import annotations

import json

import pytest

from tesseract import pruning
from tesseract.cli.prune import prune
from tesseract.errors import EngineError, ImageNotFound

pytestmark = pytest.mark.fast


def item(name: str, error: Exception | None = None) -> pruning.Item:
    def remove() -> None:
        if error is not None:
            raise error

    return pruning.Item("image", name, 1, remove)


def test_what_somebody_else_removed_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Two at once find the same things; each of them goes once."""
    items = [
        item("mine"),
        item("gone", ImageNotFound("no such image")),
        item("gone-too", FileNotFoundError(2, "No such file")),
        item("held", EngineError("in use")),
    ]
    monkeypatch.setattr(pruning, "find", lambda: iter(items))
    prune(format="json")
    said = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["state"]) for entry in said] == [("mine", "removed"), ("held", "kept")]
    assert "gone" not in caplog.text
