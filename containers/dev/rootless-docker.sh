#!/bin/bash
# rootless-docker.sh start|stop - a Docker Engine of the caller's own, without root, on a private socket.
# `start` prints the value for DOCKER_HOST. Needs Debian's docker.io and rootlesskit, and subordinate ids.
set -euo pipefail
command=${1:?usage: rootless-docker.sh start|stop}
run=${XDG_RUNTIME_DIR:?}/tesseract-docker data=${XDG_DATA_HOME:-$HOME/.local/share}/tesseract-docker
answers() { curl -fs --unix-socket "$run/docker.sock" http://docker/_ping >/dev/null 2>&1; }
case $command in
start)
  mkdir -p "$run" "$data"
  if ! answers; then
    # rootlesskit keeps its state in the runtime directory it is given; a directory of its own keeps it away from others.
    XDG_RUNTIME_DIR=$run DOCKERD_ROOTLESS_ROOTLESSKIT_NET=slirp4netns DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER=builtin \
      setsid /usr/share/docker.io/contrib/dockerd-rootless.sh -H "unix://$run/docker.sock" --data-root "$data" \
      --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2 --log-level warn \
      >"$run/dockerd.log" 2>&1 </dev/null &
    echo $! >"$run/rootlesskit.pid"
    for _ in $(seq 200); do
      answers && break
      sleep .1
    done
  fi
  answers || { tail -20 "$run/dockerd.log" >&2; exit 1; }
  echo "unix://$run/docker.sock";;
stop)
  if [ -s "$run/rootlesskit.pid" ]; then
    pid=$(cat "$run/rootlesskit.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done
  fi
  rm -rf "$run";;
esac
