#!/bin/bash
# venv.sh [REQUIREMENT...] - the checkout's virtual environment `.venv`, with everything the project needs and what its
# tests need, or with just those requirements.
# Made once; brought up to date when the requirements change. TESSERACT_PYTHON names another interpreter than python3.
set -euo pipefail
tree=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
cd "$tree"
python=${TESSERACT_PYTHON:-python3}
for candidate in "$python" /usr/bin/python3; do
  "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { python=$candidate; break; }
  python=
done
[ -n "$python" ] || { echo "venv.sh: needs Python 3.11 or newer with venv (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }

[ $# -gt 0 ] || set -- -e '.[runtime,docker,test]'
stamp=$(echo "$@" | cat - pyproject.toml runtime/tesseract_core/_version.py containers/dev/constraints.txt "$0" | sha256sum | cut -c1-16)
[ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || exit 0
echo "Preparing the virtual environment (.venv), once" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NATIVE_TLS=1 UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy
.venv/bin/python -c 'import uv' 2>/dev/null || .venv/bin/python -m pip install -q -c containers/dev/constraints.txt uv
.venv/bin/uv pip install -q --python .venv/bin/python -c containers/dev/constraints.txt "$@"
echo "$stamp" >.venv/stamp
