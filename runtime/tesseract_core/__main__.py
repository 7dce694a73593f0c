"""`python -m tesseract_core` is `tesseract`."""

from __future__ import annotations

if __name__ == "__main__":
    from tesseract.cli.main import main

    main()
