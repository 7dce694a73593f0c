#!/bin/bash
# fake-gpus.sh [N] - N (default 2) pretended NVIDIA GPUs, so that the whole CDI path can be tested without hardware (root).
#
# Device nodes are real copies of /dev/null: Podman 4.3 ignores `hostPath` in CDI specifications. Refuses on a machine with a
# real driver or with a specification that it did not write. `fake-gpus.sh 0` removes what it made.
set -euo pipefail
spec=/etc/cdi/nvidia.yaml n=${1:-2}
[ ! -e /proc/driver/nvidia/version ] || { echo "fake-gpus: a real NVIDIA driver is loaded" >&2; exit 3; }
[ ! -e $spec ] || grep -q FAKE_NVIDIA=1 $spec || { echo "fake-gpus: $spec is not ours" >&2; exit 3; }
if [ "$n" = 0 ]; then
  for node in /dev/nvidiactl /dev/nvidia[0-9]*; do [ "$(stat -c %t:%T "$node" 2>/dev/null)" != 1:3 ] || rm -f "$node"; done
  rm -f $spec
  exit 0
fi
node() { [ -e "$1" ] || { mknod -m 666 "$1" c 1 3; chmod 666 "$1"; }; }
mkdir -p /etc/cdi; chmod 755 /etc/cdi
node /dev/nvidiactl
all=
{
  printf 'cdiVersion: "0.5.0"\nkind: nvidia.com/gpu\ncontainerEdits:\n  env: ["FAKE_NVIDIA=1"]\n'
  printf '  deviceNodes: [{path: /dev/nvidiactl}]\ndevices:\n'
  for i in $(seq 0 $((n - 1))); do
    node "/dev/nvidia$i"; all="$all        - {path: /dev/nvidia$i}\n"
    printf '  - name: "%s"\n    containerEdits:\n      env: ["FAKE_GPU_%s=yes"]\n      deviceNodes: [{path: /dev/nvidia%s}]\n' "$i" "$i" "$i"
  done
  printf '  - name: all\n    containerEdits:\n      env: ["FAKE_GPU_ALL=yes"]\n      deviceNodes:\n%b' "$all"
} >$spec
chmod 644 $spec
