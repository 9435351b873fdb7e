"""A real Slurm of one machine for tests: up.sh and down.sh beside this file, as a context manager."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cluster:
    """A running Slurm; ``accounting`` says whether sacct works."""

    state: Path
    port: int
    accounting: bool

    def up(self) -> None:
        """Start what is not running."""
        settings = {"SLURM_ACCT": "dbd" if self.accounting else "none", "SLURM_PORT": str(self.port)}
        done = subprocess.run(
            [HERE / "up.sh", self.state], env={**os.environ, **settings}, capture_output=True, text=True, timeout=600
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "up.sh failed")

    def saved(self) -> float:
        """When slurmctld last wrote its jobs to disk, in seconds since the epoch: some seconds after a change."""
        return (self.state / "ctld" / "job_state").stat().st_mtime

    def kill_controller(self) -> None:
        """End slurmctld as a crash would."""
        pid = int((self.state / "run" / "slurmctld.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def down(self) -> None:
        """Cancel all jobs and stop all daemons."""
        subprocess.run([HERE / "down.sh", self.state], check=True, timeout=120)


@contextlib.contextmanager
def slurm() -> Iterator[Cluster]:
    """A Slurm that ``sbatch`` of this process finds; with real accounting where that can be had.

    Raises:
        RuntimeError: in one line, why there is none.
    """
    if os.geteuid() != 0:
        raise RuntimeError("a Slurm of one's own needs root")
    if shutil.which("apt-get") is None and shutil.which("slurmctld") is None:
        raise RuntimeError("neither slurmctld nor apt-get to install it with")
    before = os.environ.get("SLURM_CONF")
    cluster = _started(accounting=True) or _started(accounting=False)
    assert cluster is not None
    os.environ["SLURM_CONF"] = str(cluster.state / "slurm.conf")
    try:
        yield cluster
    finally:
        cluster.down()
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _started(accounting: bool) -> Cluster | None:
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), _free_ports(3), accounting)
    # However this process ends, even by SIGKILL, no daemon stays.
    guard = f"while kill -0 {os.getpid()} 2>/dev/null; do sleep 1; done; exec {HERE / 'down.sh'} {cluster.state}"
    subprocess.Popen(
        ["/bin/sh", "-c", guard], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        cluster.up()
    except BaseException as error:
        cluster.down()
        if accounting and isinstance(error, RuntimeError):
            return None
        raise
    return cluster


def _free_ports(count: int) -> int:
    """The first of ``count`` free TCP ports in a row."""
    for first in range(16817, 17817, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise RuntimeError("no free ports")
