"""What a GPU asks of the training loop, proved without one: waits, batches made ahead, compiling, memory, TF32."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training_arms import ARMS, arm, run_arm, spec
from training_toys import SPEC, Coder, Denoiser, curve, run, toy_stream

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common.config import from_dict
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.precision import float32_products
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch
from paradigm_bench.training import TrainSpec, loop
from paradigm_bench.training.data import BatchStream
from paradigm_bench.training.loader import AHEAD, BatchLoader

aten = torch.ops.aten


class Reads(TorchDispatchMode):
    """Counts operations that read values back to the host, while the context is open."""

    KINDS = (aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default, aten.masked_select.default)

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func == aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if func in self.KINDS or masks:
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_update_waits_for_the_device_once(accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reading of all numbers; losses of paradigms are held to none at all by the check ``device``."""
    real, read = loop.read, []
    monkeypatch.setattr(loop, "read", lambda numbers: read.append(1) or real(numbers))
    reads, update = Reads(), loop._Run.update

    def watched(*given: Any) -> Any:
        with reads:
            return update(*given)

    monkeypatch.setattr(loop._Run, "update", watched)
    asked = dataclasses.replace(SPEC, accumulate=accumulate, checkpoint_every=100)
    run(tmp_path / "a", asked, Quiet())
    assert len(read) == asked.updates
    assert reads.counts == {}
    with reads:
        torch.ones(3)[torch.ones(3) > 0].sum().item()
    assert sum(reads.counts.values()) == 2


class Quiet(Denoiser):
    """The toy without the look at its captions that it takes on the host."""

    def hidden(self, batch: Batch, x_BTD: torch.Tensor) -> torch.Tensor:
        return self.norm(self.inputs(x_BTD) + self.null_text + self.words(batch.conditions.text).mean(1, keepdim=True))


def test_batches_made_ahead_are_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in device, in the order of the updates and their parts, with the seeds of their clips."""
    monkeypatch.setattr(Batch, "to", lambda batch, device: batch)
    stream, parts = toy_stream(), [slice(0, 2), slice(2, 6)]
    loader = BatchLoader(stream, parts, torch.device("meta"), first=3)
    try:
        for update in (3, 4, 5, 6, 7):
            for part in parts:
                batch, rng = loader.next()
                wanted, seeds = stream.host_batch(update, part)
                assert rng.seeds == seeds
                assert rng.device.type == "meta"
                assert torch.equal(batch.latents_BTD, wanted.latents_BTD)
                assert torch.equal(batch.conditions.text, wanted.conditions.text)
    finally:
        loader.close()
    assert not any(thread.name == "loader" and thread.is_alive() for thread in threading.enumerate())


def test_a_gpu_without_an_index_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """``accelerate`` trains on ``cuda``, and ``torch.cuda.set_device`` refuses a device without an index."""
    chosen: list[torch.device] = []

    def set_device(device: torch.device) -> None:
        chosen.append(device)
        raise RuntimeError("no GPU here")

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    loader = BatchLoader(toy_stream(), [slice(None)], torch.device("cuda"), first=1)
    with pytest.raises(RuntimeError, match="no GPU here"):
        loader.next()
    loader.close()
    assert chosen == [torch.device("cuda", 1)]


def test_few_batches_are_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = BatchStream.host_batch
    monkeypatch.setattr(BatchStream, "host_batch", lambda *given: made.append(given[1]) or real(*given))
    loader = BatchLoader(toy_stream(), [slice(None)], torch.device("meta"), first=1)
    for _ in range(3):
        loader.next()
    loader.close()
    assert 3 <= len(made) <= 3 + AHEAD + 2


def test_what_goes_wrong_in_making_a_batch_is_raised_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stream: BatchStream, update: int, part: slice) -> tuple[Batch, list[int]]:
        raise UserError(f"shard of update {update} is gone")

    monkeypatch.setattr(BatchStream, "host_batch", broken)
    loader = BatchLoader(toy_stream(), [slice(None)], torch.device("meta"), first=5)
    for _ in range(2):  # again, too: nothing may wait for a thread that has ended
        with pytest.raises(UserError, match="shard of update 5 is gone"):
            loader.next()
    loader.close()


def test_a_closed_loader_says_so() -> None:
    loader = BatchLoader(toy_stream(), [slice(None)], torch.device("meta"), first=1)
    loader.next()
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        loader.next()
    BatchLoader(toy_stream(), [slice(None)], torch.device("meta"), first=1).close()  # no thread was started


def test_the_thread_ends_with_training_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    real = BatchLoader.close
    monkeypatch.setattr(BatchLoader, "close", lambda loader: closed.append(1) or real(loader))

    class Fails(Quiet):
        def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        run(tmp_path / "a", SPEC, Fails())
    assert closed == [1]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every arm trained as it is, compiled, and compiled and recomputed, by a process of its own.

    The compiler's C++ front end needs distutils as setuptools has it, which another test may have imported otherwise.
    """
    folder = tmp_path_factory.mktemp("compiled")
    program = Path(__file__).parents[2].joinpath("training_arms.py")
    path = os.pathsep.join([str(program.parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, program, "compile", folder], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", ["compiled", "both"])
@pytest.mark.parametrize("name", [*ARMS, "masked_fm"])
def test_compiled_blocks_give_the_same_losses_and_compile_once(name: str, kind: str, compiled: Path) -> None:
    """Though every update masks, drops and hides other numbers of tokens; micro-batches and inpainting are on."""
    plain, other = (torch.tensor(curve(compiled / f"{name}-{which}")) for which in ("plain", kind))
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)
    counts = json.loads((compiled / f"{name}-{kind}.json").read_text())[:: spec().accumulate]  # one per update
    assert counts[0] < counts[1], "nothing was compiled"
    assert counts[2:] == [counts[2]] * len(counts[2:]), counts


@pytest.mark.parametrize("name", [*ARMS, "masked_fm"])
def test_recomputing_gives_the_same_losses_and_keeps_less(name: str, tmp_path: Path) -> None:
    def kept(model: Any, **changes: Any) -> int:
        """Bytes that the forward pass of one update keeps for the backward one."""
        sizes: dict[int, int] = {}
        inner = model.loss

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        def loss(*given: Any) -> Any:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                return inner(*given)

        model.loss = loss
        run_arm(name, tmp_path / f"{changes}", model, updates=1, warmup=1, inpainting=0.0, **changes)
        return sum(sizes.values())

    run_arm(name, tmp_path / "plain", updates=4)
    run_arm(name, tmp_path / "recomputed", updates=4, recompute=True)
    plain, recomputed = (torch.tensor(curve(tmp_path / kind)) for kind in ("plain", "recomputed"))
    torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-6)
    assert kept(arm(name), recompute=True) < 0.75 * kept(arm(name))


@pytest.mark.parametrize(("precision", "products"), [("tf32", ("high", True)), ("fp32", ("highest", False))])
def test_tf32_is_chosen_and_put_back(precision: str, products: tuple[str, bool]) -> None:
    before = flags()
    with float32_products(precision, "cuda"):
        assert flags() == products
    assert flags() == before
    with float32_products("tf32", "cpu"):
        assert flags() == before


def flags() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_tf32_is_on_for_all_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real: Callable[..., Any] = loop.float32_products
    monkeypatch.setattr(loop, "float32_products", lambda *given: asked.append(given) or real(*given))
    run(tmp_path / "a", dataclasses.replace(SPEC, precision="tf32"), Coder())
    assert asked == [("tf32", "cpu")]
    with pytest.raises(UserError, match="'fp16' is not one of fp32, tf32, bf16"):
        from_dict(TrainSpec, {"precision": "fp16"}, "train")


def test_unused_parameters_are_looked_for_only_where_there_may_be_some() -> None:
    for name in ARMS:
        assert not loop._may_leave_unused(arm(name))
    assert loop._may_leave_unused(Denoiser())  # its null text
    model = arm("fm")
    model.backbone_config = BackboneConfig(d_model=16, n_layers=2, n_heads=2, d_ff=32, text="none")
    assert loop._may_leave_unused(model)


def test_the_profile_of_an_update_adds_up() -> None:
    script = Path(__file__).parents[3] / "scripts" / "profile_training.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, "--arm", "fm", "--updates", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("fm ")]
    shares = [float(word.rstrip("%")) for word in row[2:]]
    assert sum(shares) == pytest.approx(100, abs=0.3)  # of five rounded numbers
    assert shares[0] == max(shares), "the model is the largest part of an update"
