#!/bin/bash
# pin-namespace.sh DIR - pin a new mount namespace at DIR/mnt, unless there is one (root). Prints "new" if it made one.
set -euo pipefail
pin=${1:?usage: pin-namespace.sh DIR}
mkdir -p "$pin"
mountpoint -q "$pin" || { mount --bind "$pin" "$pin"; mount --make-private "$pin"; }   # namespace files need a private mount
! mountpoint -q "$pin/mnt" || exit 0
: >"$pin/mnt"
make_one() { unshare --mount="$pin/mnt" --propagation private echo new; }
# Recent kernels number namespaces per CPU, and in a container they refuse to pin one whose number is below that of the
# container's own: the next may have a higher one.
for _ in $(seq 50); do
  make_one 2>/dev/null && exit 0
done
make_one
