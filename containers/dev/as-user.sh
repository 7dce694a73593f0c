#!/bin/bash
# as-user.sh COMMAND [ARG...] - run COMMAND in this checkout as somebody who can use rootless Podman.
#
# As an ordinary user: runs COMMAND right here. As root: prepares the machine (packages, an unprivileged user with
# subordinate ids, devices, a mount namespace with unified cgroups), hands a copy of the checkout to that user and runs
# COMMAND there. Idempotent, and quiet unless something has to be installed.
#
# Settings (root only): TESSERACT_DEV_USER (default tesseract-dev), TESSERACT_DEV_PASS (names of variables to hand over),
# TESSERACT_DEV_PACKAGES (further Debian packages), TESSERACT_DEV_STAY=1 (run in the current directory, copy nothing),
# TESSERACT_DEV_NAMESPACE (another mount namespace than provision.sh's).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
tree=$(dirname "$(dirname "$here")")

if [ "$(id -u)" != 0 ]; then
  exec "$@"
fi

user=${TESSERACT_DEV_USER:-tesseract-dev}
"$here/provision.sh" "$user"
uid=$(id -u "$user") gid=$(id -g "$user") home=$(getent passwd "$user" | cut -d: -f6)

# The tree travels as a stream: a clone below root's home is invisible to the user, and git refuses foreign owners.
target=$PWD
if [ -z "${TESSERACT_DEV_STAY:-}" ]; then
  target=$home/src/$(basename "$tree")
  setpriv --reuid "$uid" --regid "$gid" --init-groups sh -ec '
    mkdir -p "$1"; cd "$1"
    find . -mindepth 1 -maxdepth 1 ! -name .venv ! -name .cache -exec rm -rf {} +' sh "$target"
  { cd "$tree"; git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done \
      | tar -c --null --no-recursion -T -; } |
    setpriv --reuid "$uid" --regid "$gid" --init-groups tar -x -C "$target"
fi

vars=(HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG="${LANG:-C.UTF-8}" TERM="${TERM:-dumb}"
      XDG_RUNTIME_DIR="/run/user/$uid" PATH="$home/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
for name in CI SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT http_proxy https_proxy no_proxy \
            HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_DEFAULT_TIMEOUT UV_DEFAULT_INDEX PYTEST_ADDOPTS \
            TESSERACT_DOCKER_TEST_HOST TESSERACT_ROOTFUL_PODMAN_TEST_HOST TESSERACT_ROOTLESS_DOCKER_TEST_HOST \
            TESSERACT_UPDATE_GOLDEN ${TESSERACT_DEV_PASS:-}; do
  [ -z "${!name+x}" ] || vars+=("$name=${!name}")
done
exec nsenter --mount="${TESSERACT_DEV_NAMESPACE:-/run/tesseract-dev/mnt}" setpriv --reuid "$uid" --regid "$gid" --init-groups env -i "${vars[@]}" \
  sh -c 'cd "$1" 2>/dev/null || cd; shift; exec "$@"' sh "$target" "$@"
