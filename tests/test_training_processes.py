"""Training in processes of its own: two that share the batch, and one that is killed while it saves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from training_toys import Denoiser, acting, curve, run

TOYS = Path(__file__).with_name("training_toys.py")


def run_elsewhere(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, TOYS, *arguments]
    path = os.pathsep.join([str(TOYS.parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=120)


def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = run_elsewhere(tmp_path / "two", "accumulate=2", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"two-rank{rank}").read_text() for rank in (0, 1)] == ["0 of 2", "1 of 2"]
    run(tmp_path / "one")
    two, one = (torch.tensor(curve(tmp_path / folder)) for folder in ("two", "one"))
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)


def test_killed_while_saving_goes_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    assert run_elsewhere(tmp_path / "killed", "die_at=8").returncode == 9
    assert list((tmp_path / "killed").glob(".checkpoint-000008*"))
    model = acting(Denoiser())
    run(tmp_path / "killed", model=model)
    run(tmp_path / "whole")
    assert model.calls == 8  # updates 5 to 12
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["final", "log.jsonl", "result.json"]
