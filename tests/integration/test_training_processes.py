"""Training in processes of its own: two that share the batch, one killed while it saves, and many killed anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_arms import ARMS, run_arm
from training_toys import ROUNDING, Denoiser, acting, curve, held_out, run

TOYS = Path(__file__).parents[1].joinpath("training_toys.py")
ALL = Path(__file__).parents[1].joinpath("training_arms.py")
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run_elsewhere(
    *arguments: object, program: Path = TOYS, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, program, *arguments]
    path = os.pathsep.join([str(TOYS.parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module", params=["adamw", "muon"])
def optimiser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, optimiser: str) -> Path:
    """Every arm, with controls, inpainting and micro-batches, trained in one go by this process."""
    home = tmp_path_factory.mktemp("undisturbed")
    for name in ARMS:
        run_arm(name, home / name, optimiser=optimiser)
    return home


def test_killed_at_random_moments_every_arm_ends_the_same_to_the_last_bit(
    tmp_path: Path, undisturbed: Path, optimiser: str
) -> None:
    done = run_elsewhere("kill", tmp_path, optimiser, program=ALL)
    assert done.returncode == 0, done.stderr
    kills = dict(line.split() for line in done.stdout.splitlines())
    assert sum(map(int, kills.values())) >= 4, kills
    for name in ARMS:
        assert curve(tmp_path / name) == curve(undisturbed / name)
        assert held_out(tmp_path / name) == held_out(undisturbed / name)
        ours, theirs = (load_file(home / name / "final" / "model.safetensors") for home in (tmp_path, undisturbed))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == ["final", "log.jsonl", "result.json"]


def test_two_processes_give_every_arm_the_curve_of_one(tmp_path: Path, undisturbed: Path, optimiser: str) -> None:
    done = run_elsewhere("train", tmp_path, optimiser, program=ALL, launcher=TWO)
    assert done.returncode == 0, done.stderr
    for name in ARMS:
        for columns in (curve, held_out):
            two, one = (torch.tensor(columns(home / name)) for home in (tmp_path, undisturbed))
            torch.testing.assert_close(two, one, rtol=ROUNDING[optimiser], atol=1e-6)


def test_micro_batches_give_every_arm_the_curve_of_the_large_batch(
    tmp_path: Path, undisturbed: Path, optimiser: str
) -> None:
    for name in ARMS:
        run_arm(name, tmp_path / name, accumulate=1, optimiser=optimiser)
        large, small = (torch.tensor(curve(home / name)) for home in (tmp_path, undisturbed))
        torch.testing.assert_close(small, large, rtol=ROUNDING[optimiser], atol=1e-6)


def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path / "two", "accumulate=2", launcher=TWO)
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
