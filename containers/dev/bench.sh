#!/bin/bash
set -euo pipefail
containers/dev/venv.sh
containers/dev/base-image.sh
PATH="$PWD/.venv/bin:$PATH" exec .venv/bin/python -m benchmarks "$@"
