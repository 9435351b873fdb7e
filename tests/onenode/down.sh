#!/usr/bin/env bash
# down.sh STATE_DIR -- stop what up.sh started, by its pid files only, and delete STATE_DIR if nothing is left running.
# Jobs are cancelled first: slurmstepd is no child of slurmd and outlives it.
set -uo pipefail
S=$(realpath -m "$1")
[ -d "$S/run" ] || exit 0
export SLURM_CONF=$S/slurm.conf

pid_of() { # FILE WORD -> the pid in FILE, if it lives and its command line holds WORD
  local p; p=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$p" ] && [ -r "/proc/$p/cmdline" ] || return 1
  tr '\0' ' ' <"/proc/$p/cmdline" | grep -qF -- "$2" || return 1
  echo "$p"
}
alive() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
stop() { # PIDFILE WORD
  local p k; p=$(pid_of "$1" "$2") || return 0
  kill -TERM "$p"
  for ((k = 0; k < 200; k++)); do alive "$p" || return 0; sleep 0.1; done
  kill -KILL "$p"; sleep 0.5
}

if pid_of "$S/run/slurmctld.pid" "$S" >/dev/null; then
  timeout 20 squeue -h -a -r -o %A | sort -u | xargs -r timeout 20 scancel 2>/dev/null
  for ((i = 0; i < 150; i++)); do [ -z "$(timeout 20 squeue -h -a)" ] && break; sleep 0.1; done
fi
stop "$S/run/slurmd.n1.pid" "$S/slurm.conf"
stop "$S/run/slurmctld.pid" "$S/slurm.conf"
stop "$S/run/slurmdbd.pid" slurmdbd
stop "$S/run/mariadbd.pid" "$S"
stop "$S/run/munged.pid" "$S"

left=0
for d in /proc/[0-9]*; do
  c=$({ tr '\0' ' ' <"$d/cmdline"; } 2>/dev/null) || continue
  case $c in *slurmstepd*|*slurmd\ *|*slurmctld*|*slurmdbd*|*munged*|*mariadbd*) ;; *) continue;; esac
  if [[ $c == *"$S"* ]] || ls -l "$d/fd" "$d/cwd" 2>/dev/null | grep -qF "$S/"; then
    left=1; echo "slurm down.sh: still running: ${d#/proc/} $c" >&2
  fi
done
[ $left = 0 ] && rm -rf -- "$S"
exit $left
