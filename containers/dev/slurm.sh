#!/bin/bash
# slurm.sh start|stop - a SLURM cluster of one node, this machine, for the tests of batch jobs (root).
# The daemons run in the mount namespace of provision.sh, so that jobs can use rootless Podman.
set -euo pipefail
command=${1:?usage: slurm.sh start|stop}
run=/run/tesseract-slurm namespace=/run/tesseract-dev/mnt
conf=/etc/slurm/slurm.conf

daemon() { # NAME COMMAND... - start a daemon that stays in the foreground, unless it runs
  name=$1; shift
  ! kill -0 "$(cat "$run/$name.pid" 2>/dev/null)" 2>/dev/null || return 0
  setsid nsenter --mount="$namespace" "$@" >"$run/$name.log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

case $command in
start)
  dpkg -s slurmd slurmctld slurm-client munge >/dev/null 2>&1 || {
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends slurmd slurmctld slurm-client munge >/dev/null
  }
  [ ! -e $conf ] || grep -q '^ClusterName=tesseract-test$' $conf || { echo "slurm.sh: $conf is not ours" >&2; exit 3; }
  mkdir -p $run/state $run/spool /run/munge /etc/slurm
  chown munge /run/munge; chown slurm $run/state; chmod 755 $run
  host=$(hostname -s)
  cat >$conf <<CONF
ClusterName=tesseract-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldAddr=127.0.0.1
SlurmUser=slurm
StateSaveLocation=$run/state
SlurmdSpoolDir=$run/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=10:00 State=UP
CONF
  echo CgroupPlugin=cgroup/v1 >/etc/slurm/cgroup.conf
  daemon munged setpriv --reuid munge --regid munge --clear-groups munged --foreground
  daemon slurmctld setpriv --reuid slurm --regid slurm --clear-groups slurmctld -D
  daemon slurmd slurmd -D
  for _ in $(seq 100); do
    sinfo --noheader --format=%t 2>/dev/null | grep -q idle && exit 0
    sleep .2
  done
  tail -n 5 $run/*.log >&2; exit 1;;
stop)
  for name in slurmd slurmctld munged; do
    pid=$(cat "$run/$name.pid" 2>/dev/null || true)
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done
  done
  rm -rf $run;;
esac
