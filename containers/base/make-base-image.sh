#!/bin/bash
# make-base-image.sh - the default base image of Tesseracts, made from Debian packages, without a container registry.
#
#   make-base-image.sh [--suite bookworm] [--name IMAGE] [--include PACKAGE,...] [--tar FILE] [--no-import]
#
# A Debian with Python 3, venv and CA certificates (about 130 MB), imported into the caller's Podman store under the
# name of the default base image, so that an unchanged project builds offline. Runs as an ordinary user: needs
# mmdebstrap, uidmap and 65536 subordinate ids. The archive is kept below ~/.cache and used again.
# MIRROR names another Debian mirror.
set -euo pipefail
suite=bookworm name= tar= import=1
include=python3,python3-venv,ca-certificates
while [ $# -gt 0 ]; do
  case $1 in
  --suite) suite=$2; shift 2 ;;
  --name) name=$2; shift 2 ;;
  --include) include=$2; shift 2 ;;
  --tar) tar=$2; shift 2 ;;
  --no-import) import=0; shift ;;
  *) echo "make-base-image.sh: unknown argument $1" >&2; exit 2 ;;
  esac
done
name=${name:-docker.io/library/debian:$suite-slim}
recipe=$(cat "$0" <(echo "$suite $include") | sha256sum | cut -c1-12)
tar=${tar:-${XDG_CACHE_HOME:-$HOME/.cache}/tesseract/base/$suite-$recipe.tar}

make_archive() {
  command -v mmdebstrap >/dev/null || {
    echo "make-base-image.sh: mmdebstrap is missing; install it: apt-get install mmdebstrap" >&2
    exit 3
  }
  mode=root
  if [ "$(id -u)" != 0 ]; then
    mode=unshare
    for file in /etc/subuid /etc/subgid; do
      grep -q "^\($(id -un)\|$(id -u)\):" $file || {
        echo "make-base-image.sh: $(id -un) has no range in $file;" \
          "add one: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)" >&2
        exit 3
      }
    done
  fi
  # In bookworm the package usrmerge would bring perl along (50 MB); the hook merges /usr beforehand.
  merged=()
  [ "$suite" != bookworm ] || { merged=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr); include=usr-is-merged,$include; }
  mkdir -p "$(dirname "$tar")"
  unfinished=$tar.$$
  trap 'rm -f "$unfinished"' EXIT
  mmdebstrap --quiet --mode=$mode --variant=minbase --format=tar "${merged[@]}" --include="$include" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --aptopt='Acquire::Languages "none"' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt' \
    --customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname' \
    "$suite" "$unfinished" ${MIRROR:+"$MIRROR"} >"$tar.log" 2>&1 || { tail -20 "$tar.log" >&2; exit 1; }
  mv "$unfinished" "$tar"
  trap - EXIT
  rm -f "$tar.log"
}

[ -s "$tar" ] || make_archive
[ $import = 1 ] || { echo "$tar"; exit 0; }
podman import --quiet --change 'CMD ["/bin/bash"]' \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$tar" "$name"
