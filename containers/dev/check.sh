#!/bin/bash
# check.sh - lint, types, and the tests that need neither engine nor network.
set -euo pipefail
containers/dev/venv.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest -q -m fast -n 2 "$@"
