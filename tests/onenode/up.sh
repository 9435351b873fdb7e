#!/usr/bin/env bash
# up.sh STATE_DIR -- start a real single-machine Slurm (munge, slurmctld, slurmd, slurmdbd, MariaDB) without systemd,
# on loopback, with every byte of its state in STATE_DIR. Run as root on Debian; missing packages are installed.
#
#   . STATE_DIR/env.sh     puts SLURM_CONF into the shell that talks to this cluster
#   down.sh STATE_DIR      stops it again, by pid file
#
# A second call starts what is not running any more, on the same state.
#   SLURM_ACCT=dbd|none    real accounting (the default), or none: then sacct fails and squeue alone knows
#   SLURM_PORT=16817       first of three TCP ports
set -euo pipefail

S=$(realpath -m "$1")
ACCT=${SLURM_ACCT:-dbd} PORT=${SLURM_PORT:-16817} CPUS=8
die() { echo "slurm up.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run as root"
[ ${#S} -le 80 ] || die "STATE_DIR path too long for unix sockets: $S"
mkdir -p "$S"/{munge,ctld,spool,log,run,mysql}
chmod 755 "$S" "$S"/{munge,ctld,spool,log,run,mysql}  # munged refuses a key below a folder that others can write

# ---- packages; policy-rc.d keeps Debian from starting the daemons with the settings in /etc
need=()
command -v munged    >/dev/null || need+=(munge)
command -v slurmctld >/dev/null || need+=(slurmctld)
command -v slurmd    >/dev/null || need+=(slurmd)
command -v sbatch    >/dev/null || need+=(slurm-client)
if [ "$ACCT" = dbd ]; then
  command -v slurmdbd >/dev/null || need+=(slurmdbd slurm-wlm-mysql-plugin)
  command -v mariadbd >/dev/null || need+=(mariadb-server-core)
  command -v mariadb  >/dev/null || need+=(mariadb-client-core)
fi
if [ ${#need[@]} -gt 0 ]; then
  made_policy=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made_policy=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  install() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${need[@]}" >>"$S/log/apt.log" 2>&1; }
  failed=
  { apt-get update >>"$S/log/apt.log" 2>&1; install; } || failed=1
  [ -z "$made_policy" ] || rm -f /usr/sbin/policy-rc.d
  [ -z "$failed" ] || die "apt-get could not install ${need[*]}: $(tail -n 1 "$S/log/apt.log")"
fi

# ---- key and host name
H=$(hostname -s 2>/dev/null || cat /proc/sys/kernel/hostname)
getent ahostsv4 "$H" >/dev/null || echo "127.0.0.1 $H" >>/etc/hosts  # srun binds the address of the host's name
[ -s "$S/munge/munge.key" ] || { (umask 077; head -c 1024 /dev/urandom >"$S/munge/munge.key"); chmod 400 "$S/munge/munge.key"; }

pid_of() { # FILE WORD -> the pid in FILE, if it lives and its command line holds WORD (numbers are used again)
  local p; p=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$p" ] && [ -r "/proc/$p/cmdline" ] || return 1
  tr '\0' ' ' <"/proc/$p/cmdline" | grep -qF -- "$2" || return 1
  echo "$p"
}
wait_for() { # SECONDS WHAT COMMAND...
  local k n=$(($1 * 10)) what=$2; shift 2
  for ((k = 0; k < n; k++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  die "$what not ready; $(sinfo -h -N -o '%N %t: %E' 2>&1 | head -n 1); logs in $S/log"
}

# ---- configuration. AuthInfo's cred_expire: a requeued job is held back this many seconds (the default is 120).
# Neither cgroups nor task plugins; CPUs and memory are believed as written (config_overrides). Preemption: partition
# high evicts and requeues jobs of low, which get their own --signal (submitit: USR2) first. KillWait: seconds from
# SIGTERM to SIGKILL. The scheduler reacts at once instead of every 30 to 60 s.
if [ "$ACCT" = dbd ]; then
  # AccountingStoragePass is no password but munge's socket towards slurmdbd, where AuthInfo is not used.
  accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$S/munge/munge.sock"
else accounting="AccountingStorageType=accounting_storage/none"; fi
cat >"$S/slurm.conf" <<CONF
ClusterName=machine
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=$PORT
SlurmctldTimeout=30
SlurmdTimeout=300
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$S/munge/munge.sock,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$S/ctld
SlurmdSpoolDir=$S/spool/%n
SlurmctldPidFile=$S/run/slurmctld.pid
SlurmdPidFile=$S/run/slurmd.%n.pid
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
MaxArraySize=2000
KillWait=3
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
$accounting
NodeName=n1 NodeHostname=$H NodeAddr=127.0.0.1 Port=$((PORT + 2)) CPUs=$CPUS RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=n1 Default=YES MaxTime=1440 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=low Nodes=n1 MaxTime=1440 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 State=UP
PartitionName=high Nodes=n1 MaxTime=1440 PriorityTier=100 PreemptMode=OFF State=UP
CONF
echo "export SLURM_CONF=$S/slurm.conf" >"$S/env.sh"
export SLURM_CONF=$S/slurm.conf

# ---- munged
if ! pid_of "$S/run/munged.pid" "$S" >/dev/null; then
  munged --key-file="$S/munge/munge.key" --socket="$S/munge/munge.sock" --pid-file="$S/run/munged.pid" \
         --log-file="$S/log/munged.log" --seed-file="$S/munge/munged.seed" </dev/null || die "munged; see $S/log/munged.log"
fi
wait_for 20 munged munge -S "$S/munge/munge.sock" -n

# ---- MariaDB (unix socket only) and slurmdbd, for a real sacct
if [ "$ACCT" = dbd ]; then
  if ! pid_of "$S/run/mariadbd.pid" "$S" >/dev/null; then
    [ -d "$S/mysql/data/mysql" ] ||
      mariadb-install-db --no-defaults --user=root --datadir="$S/mysql/data" --skip-test-db \
        --auth-root-authentication-method=socket >"$S/log/mariadb-install.log" 2>&1 || die "mariadb-install-db"
    setsid mariadbd --no-defaults --user=root --datadir="$S/mysql/data" --socket="$S/mysql/mysqld.sock" \
      --pid-file="$S/run/mariadbd.pid" --log-error="$S/log/mariadbd.log" --skip-networking --skip-log-bin \
      --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 \
      --innodb-lock-wait-timeout=900 </dev/null >>"$S/log/mariadbd.out" 2>&1 &
    wait_for 60 mariadbd mariadb --no-defaults --socket="$S/mysql/mysqld.sock" -e 'select 1'
    mariadb --no-defaults --socket="$S/mysql/mysqld.sock" -e 'create database if not exists slurm_acct'
  fi
  # slurmdbd looks for its file, which only its user may read, beside $SLURM_CONF.
  (umask 077; cat >"$S/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$S/munge/munge.sock
DbdHost=$H
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile=$S/run/slurmdbd.pid
LogFile=$S/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
CONF
  )
  if ! pid_of "$S/run/slurmdbd.pid" slurmdbd >/dev/null; then
    # MYSQL_UNIX_PORT is how libmariadb learns of a private socket.
    MYSQL_UNIX_PORT="$S/mysql/mysqld.sock" slurmdbd </dev/null >>"$S/log/slurmdbd.out" 2>&1 || die "slurmdbd"
    wait_for 60 slurmdbd sacctmgr -n list cluster
  fi
  sacctmgr -n list cluster format=cluster | grep -qw machine ||
    sacctmgr -i add cluster machine >>"$S/log/sacctmgr.log" 2>&1 || die "sacctmgr add cluster"
fi

# ---- slurmctld and slurmd
if ! pid_of "$S/run/slurmctld.pid" "$S" >/dev/null; then
  rm -f "$S/run/slurmctld.pid"
  slurmctld -f "$S/slurm.conf" </dev/null >>"$S/log/slurmctld.out" 2>&1 || die "slurmctld; see $S/log/slurmctld.log"
fi
wait_for 60 slurmctld sh -c "scontrol ping | grep -q 'is UP'"
wait_for 20 "slurmctld's pid file" test -s "$S/run/slurmctld.pid"
if ! pid_of "$S/run/slurmd.n1.pid" "$S" >/dev/null; then
  mkdir -p "$S/spool/n1"; rm -f "$S/run/slurmd.n1.pid"
  slurmd -N n1 -f "$S/slurm.conf" </dev/null >>"$S/log/slurmd.out" 2>&1 || die "slurmd; see $S/log/slurmd.n1.log"
  wait_for 20 "slurmd's pid file" test -s "$S/run/slurmd.n1.pid"
fi
node_up() {
  case $(sinfo -h -N -p main -o %t | head -n 1) in
    idle|mix|alloc|comp) return 0;;
    *) scontrol update nodename=n1 state=resume;;  # down, drained or still draining (drng) after an unclean stop
  esac
  return 1
}
wait_for 180 "the node" node_up
