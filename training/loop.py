"""The training loop, one for all paradigms: arms differ in ``model.loss`` and in nothing else.

In an update every process takes its share of the global batch in ``accumulate`` micro-batches; gradients are averaged
over the whole batch and clipped by global norm; the optimisers (``training.optimiser``) step at
``learning_rate(spec, update)``; then the moving average is updated. Each micro-batch's loss is weighted by its share of
the global batch, so that the number of processes and micro-batches changes the result by rounding only. For several
processes run under ``torchrun`` or ``accelerate launch``.

    folder/
        log.jsonl             one line per ``log_every`` updates: update, loss (mean of these updates), lr, grad_norm,
                              wall_seconds and cpu_seconds since the start, over all sessions, without validation;
                              and one per validation: update, validation_loss, validation_error, validation_seconds
        checkpoint-XXXXXX/    to resume from; removed when training is done
        snapshot-XXXXXX/      averaged weights at ``spec.snapshots``, as ``paradigms.save`` writes them
        final/                averaged weights at the end
        result.json           written last: with it, training is done and is not done again
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from .. import paradigms
from ..backbones.transformer import Block
from ..common.errors import UserError
from ..common.files import atomic_folder, write_json
from ..common.lines import count
from ..common.precision import float32_products
from ..common.seeds import ItemRNG, seed_for
from ..paradigms.base import Batch, Paradigm
from ..paradigms.heads import ResidualBlock
from .checkpoints import RunState, restore_latest, write_checkpoint
from .convergence import has_stopped, is_due
from .data import DATA, BatchStream
from .loader import BatchLoader
from .log import open_log, write_line
from .optimiser import EMA, make_optimisers
from .results import TrainResult, finished, identity, result_of, snapshot_path, tidy
from .spec import TrainSpec, learning_rate
from .terminal import Interrupts, TrainingProgress
from .validation import HeldOutClips

Save = Callable[[Paradigm, Path], Any]
Objective = Callable[[Paradigm, Batch, ItemRNG, ItemRNG], Tensor]


def train(
    model: Paradigm,
    stream: BatchStream,
    spec: TrainSpec,
    folder: Path | str,
    *,
    resume: bool = True,
    progress: bool = True,
    device: Literal["auto", "cpu"] = "auto",
    save: Save | None = None,
    objective: Objective | None = None,
    validation: HeldOutClips | None = None,
) -> TrainResult:
    """Train ``model`` on ``stream`` until its budget is used, from the latest checkpoint in ``folder`` if there is one.

    The budget of ``spec`` must be resolved (``training.budget``). On the CPU a run that was interrupted and resumed has
    the loss curve of an uninterrupted one to the last digit, unless wall time ends it. Use the weights in the result's
    ``final``; those of ``model`` itself are unspecified after the call.

    Args:
        folder: of this run alone, see the module's docstring.
        resume: False to delete what an earlier run left in the folder and start again.
        progress: show a bar, or a line every half minute, on stderr.
        device: ``auto`` takes an accelerator where there is one.
        save: writes a model into a folder; ``paradigms.save`` by default.
        objective: what is minimised, a scalar per micro-batch; the mean of ``model.loss`` by default.
        validation: the held-out clips of the validation loss; None: it is not computed. It changes no weights, unless
            it ends the run.

    Raises:
        UserError: the folder holds another run, the loss is not finite, the folder cannot be written, or the budget is
            by convergence and there are no held-out clips.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the current update is finished and saved.
    """
    folder, save = Path(folder), save or paradigms.save
    accelerator = Accelerator(
        cpu=runs_on_cpu(device),
        mixed_precision="no",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=_may_leave_unused(model))],
    )
    validation = validation if validation is not None and validation.clips else None
    _check(spec, stream, accelerator.num_processes, validation)
    if (launched := int(os.environ.get("WORLD_SIZE", "1"))) != accelerator.num_processes:
        raise UserError(
            f"{count(launched, 'process', 'processes')} launched, {accelerator.num_processes} found; use torchrun, "
            "or start one"
        )
    if accelerator.is_main_process:
        tidy(folder, everything=not resume)
    accelerator.wait_for_everyone()
    state = RunState(identity(model, stream, spec, validation))
    if (done := finished(folder, state.identity)) is not None:
        return done
    run = _Run(model, stream, spec, folder, accelerator, save, objective or mean_loss, validation)
    run.restore(state)
    interrupted = False
    bar = TrainingProgress(model.name, run.state.update, run.spent, show=progress and run.main)
    products = float32_products(spec.precision, accelerator.device.type)
    opened = open_log(folder / "log.jsonl", run.state.update) if run.main else contextlib.nullcontext()
    with Interrupts() as interrupts, opened as log, bar, products, contextlib.closing(run.loader):
        if run.state.update == 0:
            run.validate(log)
        while run.spent < 1 and not interrupted:
            before = run.spent
            interrupted = run.update(interrupts, log)
            if is_due(spec, run.state.update, (before, run.spent)):
                run.validate(log)
            bar.update(run.state.update, run.spent, run.state.final_loss, run.state.validation[-1:])
            if run.state.update in spec.snapshots:
                run.save_average(snapshot_path(folder, run.state.update))
            if run.spent < 1 and (interrupted or run.state.update % spec.checkpoint_every == 0):
                run.save_checkpoint(log)
    result = run.finish() if run.spent == 1 else None
    if result is None or interrupted:
        raise KeyboardInterrupt
    return result


def compile_blocks(model: nn.Module) -> None:
    """Compile the blocks of backbone and head, which hold nearly all of the work, each at its first call.

    Sizes are left open: all blocks of a model share one compiled function, and updates that mask or drop other numbers
    of tokens do not compile again.
    """
    for module in model.modules():
        if isinstance(module, Block | ResidualBlock):
            module.compile(dynamic=True)


def runs_on_cpu(device: Literal["auto", "cpu"] = "auto") -> bool:
    """Whether training runs on the CPU; accelerate must be told, or it does not connect processes on a CPU."""
    return device == "cpu" or not torch.accelerator.is_available()


def leave_process_group() -> None:
    """Leave the process group; programs under ``torchrun`` call it last, after ``train`` returned or raised.

    Without it torch may abort at exit (github.com/pytorch/pytorch/issues/190489): gloo's threads outlive the
    interpreter for as long as a DistributedDataParallel module, collected here, keeps their group alive.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()


def read(numbers: Tensor) -> list[float]:
    """The numbers, copied to the host; training waits for the device here and nowhere else."""
    return numbers.tolist()


def mean_loss(model: Paradigm, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Tensor:
    """The objective of plain training."""
    return model.loss(batch, rng, shared).mean


class _Objective(nn.Module):
    """An objective as a forward pass, which is where DistributedDataParallel hooks in."""

    def __init__(self, model: Paradigm, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Tensor:
        return self.objective(self.model, batch, rng, shared)


class _Run:
    """The parts of one training run in this process."""

    def __init__(
        self, model: Paradigm, stream: BatchStream, spec: TrainSpec, folder: Path, accelerator: Accelerator, save: Save,
        objective: Objective, validation: HeldOutClips | None,
    ) -> None:  # fmt: skip
        self.validation = validation
        self.model, self.stream, self.spec, self.folder = model, stream, spec, folder
        self.accelerator, self.save = accelerator, save
        self.main, self.device = accelerator.is_main_process, accelerator.device
        for module in model.modules():
            if hasattr(module, "recompute"):  # backbones and heads
                module.recompute = spec.recompute  # type: ignore[assignment]
        self.objective = accelerator.prepare(_Objective(model.train(), objective))
        if spec.compile:
            compile_blocks(model)
        self.parameters = list(model.parameters())
        self.optimisers, self.ema = make_optimisers(model, spec), EMA(model, spec.ema_decay)
        self.parts = _share(spec, accelerator.process_index, accelerator.num_processes)

    @property
    def spent(self) -> float:
        """The share of the budget that is used, from 0 to 1; the same in all processes."""
        return self.spec.spent(self.state.update, self.state.wall_seconds, self.state.stopped)

    def restore(self, start: RunState) -> None:
        """Load the latest checkpoint, or begin with ``start`` if there is none, and start the clocks."""
        self.state = restore_latest(self.folder, start, self.model, self.ema, self.optimisers)
        self.loader = BatchLoader(self.stream, self.parts, self.device, first=self.state.update + 1)
        self._wall_start = time.perf_counter() - self.state.wall_seconds
        self._cpu_mark = time.process_time()

    def update(self, interrupts: Interrupts, log: TextIO | None) -> bool:
        """One update; returns whether any process got a signal to stop."""
        number = self.state.update + 1
        in_phase, _ = self.spec.phase(number)
        if in_phase == 1 and number > 1:
            self._begin_phase()
        lr = learning_rate(self.spec, number, self.state.wall_seconds, self.state.stopped)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.zero_grad(set_to_none=True)
        own_loss = self._accumulate_gradients(number)
        own_norm = nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
        self.ema.update(in_phase)
        # The one wait for the device, after all of the update's work has been given to it.
        loss, norm, interrupted = self._gather(own_loss, own_norm, interrupts.received)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                f"{self.model.name}: loss {loss:g}, gradient norm {norm:g} at update {number}; lower "
                f"train.lr, lengthen train.warmup or set train.precision to fp32; earlier checkpoints stay"
            )
        self.state.update = number
        self.state.losses.append(loss)
        if number % self.spec.log_every == 0 or self.spent == 1:
            self._log(log, lr, norm)
        return interrupted

    def validate(self, log: TextIO | None) -> None:
        """Compute the validation loss of the averaged weights, outside the clocks, and note whether it has stopped."""
        if self.validation is None:
            return
        wall, cpu, state = time.perf_counter(), time.process_time(), self.state
        self.ema.swap()
        unconditional = 0 < self.spec.pretraining >= state.update
        loss, error = self.validation.loss(self.model, self.accelerator, unconditional)
        self.ema.swap()
        seconds = time.perf_counter() - wall
        self._wall_start += seconds
        self._cpu_mark += time.process_time() - cpu
        state.validated.append(state.update)
        state.validation.append(loss)
        state.validation_errors.append(error)
        line = {"update": state.update, "validation_loss": loss, "validation_error": error}
        write_line(log, {**line, "validation_seconds": round(seconds, 3)})
        if self.spec.budget.by_convergence and not state.stopped and state.update <= self.spec.first_decay():
            state.stopped = state.update * has_stopped(self.spec, state.validated, state.validation)

    def _begin_phase(self) -> None:
        """Continue from the averaged weights, with new optimiser states and a new average."""
        self.ema.restart()
        for optimiser in self.optimisers:
            optimiser.state.clear()

    def _accumulate_gradients(self, number: int) -> Tensor:
        """Backward passes over this process's micro-batches; returns its part of the global mean loss."""
        loss = torch.zeros((), device=self.device, dtype=torch.float64)
        for part in self.parts:
            batch, rng = self.loader.next()
            torch.manual_seed(seed_for(self.spec.seed, "torch", number, part.start))  # for layers such as dropout
            share = (part.stop - part.start) / self.spec.batch
            last = part is self.parts[-1]
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.objective):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.spec.precision == "bf16"):
                    mean = self.objective(batch, rng, self.stream.shared(number))
                # DDP averages over processes, so each scales its share of the sum up by their number.
                self.accelerator.backward(mean * share * self.accelerator.num_processes)
            loss += mean.detach() * share
        return loss

    def _gather(self, own_loss: Tensor, norm: Tensor, stop: bool) -> tuple[float, float, bool]:
        """Loss over the global batch, gradient norm, and whether any process got a signal to stop, in one exchange.

        CPU time, summed over processes, and the first process' wall time go with the same exchange, so that an update's
        wait for the device counts for the next update.
        """
        now = time.process_time()
        wall_seconds = time.perf_counter() - self._wall_start if self.main else 0.0
        counted = torch.tensor([now - self._cpu_mark, float(stop), wall_seconds], dtype=torch.float64)
        self._cpu_mark = now
        share = norm.double() / self.accelerator.num_processes  # each process has the same norm
        mine = torch.cat([torch.stack([own_loss, share]), counted.to(self.device, non_blocking=True)])
        loss, whole_norm, cpu_seconds, stops, self.state.wall_seconds = read(self.accelerator.reduce(mine, "sum"))
        self.state.cpu_seconds += cpu_seconds
        return loss, whole_norm, stops > 0

    def _log(self, log: TextIO | None, lr: float, norm: float) -> None:
        self.state.final_loss = math.fsum(self.state.losses) / len(self.state.losses)
        self.state.losses = []
        line = {
            "update": self.state.update,
            "loss": self.state.final_loss,
            "lr": lr,
            "grad_norm": norm,
            "wall_seconds": round(self.state.wall_seconds, 3),
            "cpu_seconds": round(self.state.cpu_seconds, 3),
        }
        write_line(log, line)

    def save_checkpoint(self, log: TextIO | None) -> None:
        """Write a checkpoint, after the log is on disk, so that no checkpoint is ever ahead of its log."""
        if log is not None:
            os.fsync(log.fileno())
        if self.main:
            write_checkpoint(self.folder, self.state, self.model, self.ema, self.optimisers)
        self.accelerator.wait_for_everyone()

    def save_average(self, target: Path) -> None:
        """Write the averaged weights as a model."""
        self.ema.swap()
        if self.main:
            with atomic_folder(target) as temporary:
                self.save(self.model, temporary)
        self.accelerator.wait_for_everyone()
        self.ema.swap()

    def finish(self) -> TrainResult:
        """Write the averaged weights and the result, and remove the checkpoints."""
        self.save_average(self.folder / "final")
        state = self.state
        figures = {
            "updates": state.update,
            "wall_seconds": state.wall_seconds,
            "cpu_seconds": state.cpu_seconds,
            "tokens": state.update * self.spec.batch * self.stream.frames,
            "final_loss": state.final_loss,
            "validation": {
                "update": state.validated,
                "loss": state.validation,
                "error": state.validation_errors,
            }
            if state.validated
            else {},
            "stopped": state.stopped,
        }
        if self.main:
            write_json(self.folder / "result.json", {"identity": state.identity, "figures": figures})
            tidy(self.folder)
        self.accelerator.wait_for_everyone()
        return result_of(self.folder, figures, self.spec.snapshots)


def _share(spec: TrainSpec, index: int, processes: int) -> list[slice]:
    """Positions of the global batch for each micro-batch of process ``index``."""
    pieces = processes * spec.accumulate
    bounds = [spec.batch * i // pieces for i in range(pieces + 1)]
    return [slice(bounds[i], bounds[i + 1]) for i in range(index * spec.accumulate, (index + 1) * spec.accumulate)]


def _may_leave_unused(model: Paradigm) -> bool:
    """Whether an update may leave parameters without a gradient, which DistributedDataParallel needs to know."""
    # A backbone that reads no text leaves the parameters of the text conditioner unused.
    no_text = getattr(model.backbone_config, "text", "none") == "none"
    return no_text or model.leaves_parameters_unused


def _check(spec: TrainSpec, stream: BatchStream, processes: int, validation: HeldOutClips | None) -> None:
    if spec.budget.by_convergence and validation is None:
        raise UserError("train.budget by convergence needs held-out clips; add a valid split, or set train.updates")
    for key in DATA:
        there, here = getattr(stream.spec, key), getattr(spec, key)
        if there != here:
            raise UserError(f"train.{key} is {here}, but the stream has {there}; make it with this spec")
    if processes * spec.accumulate > spec.batch:
        sharers = (
            f"{count(processes, 'process', 'processes')} x {count(spec.accumulate, 'micro-batch', 'micro-batches')}"
        )
        raise UserError(f"train.batch of {spec.batch} cannot be shared by {sharers}; raise it")
