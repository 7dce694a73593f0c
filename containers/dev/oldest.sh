#!/bin/bash
# oldest.sh [PYTEST ARGUMENT...] - tests with the oldest versions that we allow of what we depend on, and NumPy 1.26.
#
# The lower bounds in the two pyproject.toml are a promise; this is where it is kept: the fast tests, servers on loopback,
# and an image that is built, served and called. The environment is made once, and again when the bounds change.
set -euo pipefail
containers/dev/venv.sh
venv=.venv/oldest
# Tools of the tests are no part of the promise: they have the versions of `.venv`, and must do with NumPy 1.26.
tools=$(grep -E '^(hypothesis|openapi-spec-validator|pytest|pytest-timeout|pytest-xdist|schemathesis)==' containers/dev/constraints.txt)
stamp=$(cat pyproject.toml runtime/pyproject.toml containers/dev/constraints.txt "$0" | sha256sum | cut -c1-16)
if [ "$(cat $venv/stamp 2>/dev/null)" != "$stamp" ]; then
  echo "Preparing the environment with the oldest versions ($venv), once" >&2
  export UV_NATIVE_TLS=1 UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy
  .venv/bin/uv venv -q --clear --python .venv/bin/python $venv
  .venv/bin/uv pip install -q --python $venv/bin/python --resolution lowest-direct \
    -e '.[runtime,docker,plot]' 'numpy==1.26.*' 'jax[cpu]==0.6.2' 'equinox==0.13.0' $tools
  echo "$stamp" >$venv/stamp
fi

status=0
$venv/bin/python -m pytest -q -m fast -n 2 "$@" || status=$?
$venv/bin/python -m pytest -q -n 2 tests/runtime/test_examples_served.py "$@" || status=$?
containers/dev/base-image.sh
$venv/bin/python -m pytest -q tests/journeys/test_sdk_build.py::test_build_serve_remove "$@" || status=$?
exit $status
