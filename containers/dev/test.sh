#!/bin/bash
# test.sh [PYTEST ARGUMENT...] - the whole suite. As root it first prepares what an ordinary user cannot: engines and devices.
set -euo pipefail
cd "$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")"

if [ "$(id -u)" = 0 ]; then
  user=${TESSERACT_DEV_USER:-tesseract-dev}
  export TESSERACT_DEV_PACKAGES="${TESSERACT_DEV_PACKAGES:-} chromium chromium-driver gcc libc6-dev openssh-client openssh-server iproute2 rootlesskit docker-compose"
  containers/dev/provision.sh "$user"
  containers/dev/fake-gpus.sh 2 || true     # refused where there are real ones, which serve as well
  TESSERACT_DOCKER_TEST_HOST=$(containers/dev/docker-engine.sh start "$(id -gn "$user")"); export TESSERACT_DOCKER_TEST_HOST
  # Not every machine lets root do what a rootful Podman needs; its tests are then skipped.
  if TESSERACT_ROOTFUL_PODMAN_TEST_HOST=$(containers/dev/podman-engine.sh start "$(id -gn "$user")"); then
    export TESSERACT_ROOTFUL_PODMAN_TEST_HOST
  else
    unset TESSERACT_ROOTFUL_PODMAN_TEST_HOST
  fi
  containers/dev/slurm.sh start
  export TESSERACT_ROOTLESS_DOCKER_TEST_HOST=start   # by the user, below
  status=0
  containers/dev/as-user.sh containers/dev/test.sh "$@" || status=$?
  containers/dev/docker-engine.sh stop
  containers/dev/podman-engine.sh stop
  containers/dev/slurm.sh stop
  unset TESSERACT_DOCKER_TEST_HOST TESSERACT_ROOTFUL_PODMAN_TEST_HOST TESSERACT_ROOTLESS_DOCKER_TEST_HOST
  containers/dev/podman5.sh containers/dev/engine-contract.sh "$@" || status=$?
  exit $status
fi

if [ "${TESSERACT_ROOTLESS_DOCKER_TEST_HOST:-}" = start ]; then
  TESSERACT_ROOTLESS_DOCKER_TEST_HOST=$(containers/dev/rootless-docker.sh start); export TESSERACT_ROOTLESS_DOCKER_TEST_HOST
  trap 'containers/dev/rootless-docker.sh stop' EXIT
fi

# Four parts, each run whatever became of the ones before: without an engine, with servers on loopback, on the engine, and with the oldest
# versions of what we depend on.
status=0
containers/dev/check.sh "$@" || status=$?
containers/dev/base-image.sh
.venv/bin/python -m pytest -m "not fast and not needs_engine and not large" -n 2 --dist loadfile "$@" || status=$?
.venv/bin/python -m pytest -m "needs_engine and not large" "$@" || status=$?
containers/dev/oldest.sh "$@" || status=$?
exit $status
