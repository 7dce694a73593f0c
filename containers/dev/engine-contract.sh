#!/bin/bash
# engine-contract.sh [PYTEST ARGUMENT...] - the driver contract suite alone, on the Podman that is there.
set -euo pipefail
containers/dev/venv.sh -e . pytest pytest-timeout
containers/dev/base-image.sh
exec .venv/bin/python -m pytest tests/engines -k "not docker and not rootful" "$@"
