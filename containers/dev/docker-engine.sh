#!/bin/bash
# docker-engine.sh start|stop GROUP - a real, rootful Docker Engine on a private socket that members of GROUP may use (root).
# Prints the value for DOCKER_HOST. It keeps the machine's own cgroups, so that memory limits are really enforced.
set -euo pipefail
command=${1:?usage: docker-engine.sh start|stop GROUP} group=${2:-root}
run=/run/tesseract-docker data=/var/lib/tesseract-docker
case $command in
start)
  command -v dockerd >/dev/null || {
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends docker.io iptables >/dev/null
  }
  mkdir -p "$run" "$data"
  if ! { [ -s "$run/docker.pid" ] && kill -0 "$(cat "$run/docker.pid")" 2>/dev/null; }; then
    rm -f "$run/docker.pid"
    setsid unshare -m --propagation private dockerd -H "unix://$run/docker.sock" --data-root "$data" --exec-root "$run/exec" \
      --pidfile "$run/docker.pid" --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2 --log-level warn \
      >"$run/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 150); do
      curl -fs --unix-socket "$run/docker.sock" http://docker/_ping >/dev/null 2>&1 && break
      sleep .1
    done
  fi
  curl -fs --unix-socket "$run/docker.sock" http://docker/_ping >/dev/null || { tail -20 "$run/dockerd.log" >&2; exit 1; }
  chmod 755 "$run"; chgrp "$group" "$run/docker.sock"; chmod 660 "$run/docker.sock"
  echo "unix://$run/docker.sock";;
stop)
  [ -s "$run/docker.pid" ] || exit 0
  pid=$(cat "$run/docker.pid")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done;;
esac
