#!/bin/bash
# provision.sh USER - make a root-owned Debian machine able to run rootless containers as USER.
#
# 1. packages            only those that are missing
# 2. USER                with 65536 subordinate uids and gids, a supplementary group, and containers.conf for a machine
#                        without systemd
# 3. devices             /dev/net/tun and /dev/fuse for everybody
# 4. mount namespace     pinned at /run/tesseract-dev/mnt: unified cgroups (crun refuses hybrid ones), shared mounts and a
#                        fresh XDG_RUNTIME_DIR. The machine's own mounts stay as they are.
set -euo pipefail
user=${1:?usage: provision.sh USER}
here=$(dirname "$(readlink -f "$0")")
[ "$(id -u)" = 0 ] || { echo "provision.sh: must run as root" >&2; exit 2; }
exec 9>/run/tesseract-dev.lock; flock 9

packages="podman crun fuse-overlayfs slirp4netns uidmap netavark aardvark-dns catatonit conmon iptables mmdebstrap
          util-linux procps curl git make python3 python3-venv ca-certificates ${TESSERACT_DEV_PACKAGES:-}"
missing=
for package in $packages; do
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "Installing$missing" >&2
  policy=/usr/sbin/policy-rc.d # no service starts because it is installed
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; trap 'rm -f $policy' EXIT; }
  apt-get update -qq >&2
  # What Podman merely recommends is named above.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    --no-install-recommends $missing >/dev/null
fi

id "$user" >/dev/null 2>&1 || useradd -m -s /bin/bash "$user"
# A supplementary group, as people have for the directories of a project: containers have to keep it.
groupadd -f "$user-project"
id -nG "$user" | grep -qw -- "$user-project" || usermod -aG "$user-project" "$user"
uid=$(id -u "$user") gid=$(id -g "$user") home=$(getent passwd "$user" | cut -d: -f6)
for file in /etc/subuid /etc/subgid; do
  touch $file
  grep -q "^$user:" $file || {
    start=$(awk -F: 'BEGIN { m = 100000 } { e = $2 + $3; if (e > m) m = e } END { print m }' $file)
    echo "$user:$start:65536" >>$file
  }
done
conf=$home/.config/containers
if [ ! -e "$conf/containers.conf" ]; then
  mkdir -p "$conf"
  printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >"$conf/containers.conf"
  printf '[storage]\ndriver = "overlay"\n' >"$conf/storage.conf"
  chown -R "$uid:$gid" "$home/.config"
fi

[ -e /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; }
chmod 666 /dev/net/tun
[ ! -e /dev/fuse ] || chmod 666 /dev/fuse

pin=/run/tesseract-dev
if [ -n "$("$here/pin-namespace.sh" $pin)" ]; then
  nsenter --mount=$pin/mnt sh -ec '
    if [ ! -e /sys/fs/cgroup/cgroup.procs ]; then
      umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
    fi
    mount --make-rshared /'
fi
nsenter --mount=$pin/mnt sh -s "$uid" "$gid" <"$here/runtime-dir.sh"
