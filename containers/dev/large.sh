#!/bin/bash
set -euo pipefail
containers/dev/venv.sh
containers/dev/base-image.sh
exec .venv/bin/python -m pytest -m large "$@"
