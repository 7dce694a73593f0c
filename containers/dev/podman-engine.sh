#!/bin/bash
# podman-engine.sh start|stop GROUP - a rootful Podman service on a private socket that members of GROUP may use (root).
# Prints the value for CONTAINER_HOST. It has a store of its own, and settings for machines where root lacks rights.
set -euo pipefail
command=${1:?usage: podman-engine.sh start|stop GROUP} group=${2:-root}
run=/run/tesseract-podman data=/var/lib/tesseract-podman namespace=/run/tesseract-dev/mnt
case $command in
start)
  mkdir -p "$run" "$data"
  cat >"$run/containers.conf" <<'CONF'
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[network]
network_backend = "netavark"
CONF
  if ! curl -fs --unix-socket "$run/podman.sock" http://podman/_ping >/dev/null 2>&1; then
    rm -f "$run/podman.sock"
    # In a cgroup of its own: from the root one it would move every process of the machine to a closed cgroup "init",
    # where rootless Podman fails.
    CONTAINERS_CONF=$run/containers.conf setsid nsenter --mount="$namespace" sh -ec '
      mkdir -p /sys/fs/cgroup/tesseract-podman
      echo $$ >/sys/fs/cgroup/tesseract-podman/cgroup.procs
      exec podman --root "$1/store" --runroot "$2/run" system service --time=0 "unix://$2/podman.sock"
    ' sh "$data" "$run" >"$run/podman.log" 2>&1 </dev/null &
    echo $! >"$run/podman.pid"
    for _ in $(seq 100); do
      curl -fs --unix-socket "$run/podman.sock" http://podman/_ping >/dev/null 2>&1 && break
      sleep .1
    done
  fi
  curl -fs --unix-socket "$run/podman.sock" http://podman/_ping >/dev/null || { tail -20 "$run/podman.log" >&2; exit 1; }
  chmod 755 "$run"; chgrp "$group" "$run/podman.sock"; chmod 660 "$run/podman.sock"
  echo "unix://$run/podman.sock";;
stop)
  pid=$(cat "$run/podman.pid" 2>/dev/null || true)
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done
  rm -f "$run/podman.pid" "$run/podman.sock"
  nsenter --mount="$namespace" rmdir /sys/fs/cgroup/tesseract-podman 2>/dev/null || true;;
esac
