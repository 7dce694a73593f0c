#!/bin/bash
# podman5.sh COMMAND [ARG...] - run COMMAND in a copy of this checkout on Podman 5, whatever Podman the machine has (root).
#
# A root file system of Debian 13 is made once and entered in a mount namespace of its own, pinned at /run/tesseract-podman5/mnt,
# by pivot_root: inside a chroot the kernel refuses user namespaces. The user is its own, too, because Podman 5 would open the
# store of an older one. Settings: TESSERACT_PODMAN5_USER (default tesseract-dev5).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
user=${TESSERACT_PODMAN5_USER:-tesseract-dev5} root=/var/lib/tesseract-podman5 pin=/run/tesseract-podman5
"$here/provision.sh" "$user"
exec 9>/run/tesseract-podman5.lock; flock 9

packages=podman,crun,passt,slirp4netns,uidmap,netavark,aardvark-dns,catatonit,fuse-overlayfs,conmon,nftables,iptables
packages=$packages,python3,python3-venv,ca-certificates,procps,util-linux,openssh-client,openssh-server
if [ "$(cat $root/.packages 2>/dev/null)" != "$packages" ]; then
  echo "Making a root file system with Podman 5, once" >&2
  ! mountpoint -q $pin/mnt || umount $pin/mnt
  rm -rf --one-file-system $root
  mmdebstrap --quiet --mode=root --variant=minbase \
    --include=$packages \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie $root >&2
  echo $packages >$root/.packages
fi
for file in passwd group shadow subuid subgid resolv.conf hosts ssl/certs/ca-certificates.crt; do cp -L /etc/$file $root/etc/$file; done
mkdir -p $root/.old $root/etc/cdi /etc/cdi
if [ -n "$("$here/pin-namespace.sh" $pin)" ]; then
  nsenter --mount=$pin/mnt sh -ec '
    cd "$1"
    mount --bind . .
    cd "$1"
    for dir in home tmp dev; do mount --rbind /$dir $dir; done
    mount --bind /etc/cdi etc/cdi
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mkdir -p run/user run/lock
    pivot_root . .old
    umount -l /.old
    mount --make-rshared /' sh $root
fi
uid=$(id -u "$user") gid=$(id -g "$user")
nsenter --mount=$pin/mnt sh -s "$uid" "$gid" <"$here/runtime-dir.sh"
flock -u 9; exec 9>&-

# The base image's archive is made on the machine itself, where mmdebstrap is, unless another user has it already.
home=$(getent passwd "$user" | cut -d: -f6) archives=.cache/tesseract/base
other=$(getent passwd "${TESSERACT_DEV_USER:-tesseract-dev}" | cut -d: -f6)
if [ -d "${other:-/nonexistent}/$archives" ]; then
  setpriv --reuid "$uid" --regid "$gid" --init-groups mkdir -p "$home/$archives"
  cp -n "$other/$archives"/*.tar "$home/$archives/"
fi
TESSERACT_DEV_USER=$user "$here/as-user.sh" containers/base/make-base-image.sh --no-import >/dev/null
TESSERACT_DEV_USER=$user TESSERACT_DEV_NAMESPACE=$pin/mnt exec "$here/as-user.sh" "$@"
