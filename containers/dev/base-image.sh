#!/bin/bash
# base-image.sh - see to it that the default base image is in the caller's store: pulled, or made where no registry answers.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
image=docker.io/library/debian:bookworm-slim
podman image exists "$image" && exit 0
podman pull -q "$image" >/dev/null 2>&1 && exit 0
echo "No container registry answers: making the base image from Debian packages, once" >&2
exec "$here/../base/make-base-image.sh"
