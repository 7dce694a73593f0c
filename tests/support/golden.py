"""Golden files: generated text that is compared with what stands beside the test.

`TESSERACT_UPDATE_GOLDEN=1 pytest ...` rewrites them; read the diff before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path


def check_golden(path: Path, text: str) -> None:
    """Assert that `text` is what the file at `path` holds."""
    if os.environ.get("TESSERACT_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} does not exist; run with TESSERACT_UPDATE_GOLDEN=1 and read it"
    assert text == path.read_text(), f"differs from {path}; if that is wanted, run with TESSERACT_UPDATE_GOLDEN=1"
