#!/bin/sh
# runtime-dir.sh UID GID - give a user a runtime directory in this mount namespace (root). Its text is handed to a shell inside.
set -e
dir=/run/user/$1
if mountpoint -q "$dir"; then
  ! pgrep -r D,R,S,T -u "$1" >/dev/null || exit 0
  umount -l "$dir"   # nothing runs: whatever Podman recorded as running was killed
fi
mkdir -p "$dir"
# Podman takes a fresh runtime directory for a reboot, so its old locks must go with it.
rm -f "/dev/shm/libpod_rootless_lock_$1"
mount -t tmpfs -o "mode=700,uid=$1,gid=$2,size=1g" tmpfs "$dir"
