#!/bin/bash
# build-image.sh - build tesseract-mlflow-server with the host's own certificate authorities and pip settings, where it has
# such (compose files cannot hand those over). Nothing of them stays in the image. ENGINE=docker builds with Docker.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
engine=${ENGINE:-podman}
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
secrets=()
bundle=${SSL_CERT_FILE:-${PIP_CERT:-}}
if [ -n "$bundle" ]; then
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$scratch/pip.conf"
  [ -z "${PIP_INDEX_URL:-}" ] || printf 'index-url = %s\n' "$PIP_INDEX_URL" >>"$scratch/pip.conf"
  secrets=(--secret "id=ca-bundle,src=$bundle" --secret "id=pip-conf,src=$scratch/pip.conf")
fi
# Podman 4.3 shares one cache directory between all users unless TMPDIR says otherwise.
TMPDIR=$scratch DOCKER_BUILDKIT=1 "$engine" build -t tesseract-mlflow-server "${secrets[@]}" -f "$here/Containerfile" "$here"
