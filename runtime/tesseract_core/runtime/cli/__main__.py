"""`python -m tesseract_core.runtime.cli` is `tesseract-runtime`."""

from tesseract_core.runtime.cli import main

if __name__ == "__main__":
    main()
