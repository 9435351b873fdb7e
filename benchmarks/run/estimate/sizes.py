"""What training holds in memory at its peak, and what a study leaves on disk.

Memory of one process, N parameters in float32:

    weights 4N + gradients 4N + AdamW's moments 8N + moving average 4N = 20N bytes, under bf16 2N more for the copies;
    Muon keeps one moment, 4 bytes less for each number that it steps
    + what the forward pass keeps for the backward one, of one micro-batch:
      a block keeps per position 12 C + 2 F numbers (two norms and their inputs, q, k, v, attention's output, the same
      again for cross-attention without its k and v, the feed-forward layer before and after GELU), the text's keys and
      values 2 C per token, AR's logits twice, a per-token head 12 W per block and noise level of a token

at 4 bytes each, under bf16 at 2. With ``train.recompute`` each block keeps its input alone, and one block at a time
what is listed. That is fused attention, which keeps no T x T matrix. Every draw counts at its worst
(nothing dropped). tests/unit/benchmarks/run/test_planning.py holds it against what torch really keeps.

Disk: two checkpoints of 16N (weights, average, moments) and a third while it is written; 4N per snapshot and at the
end; latents of the training clips (float32, int16 codes); audio that is kept (16 bits); records with their items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ....backbones.cost import TIME_CODE
from ....paradigms.base import Paradigm
from ....paradigms.flow_transformer import FlowTransformer
from ....paradigms.heads import TokenHead
from ....representations.base import LatentSpec
from ....training import TrainSpec
from ....training.checkpoints import KEEP
from ....training.optimiser import matrices

STATE = 20  # bytes per parameter in training
CHECKPOINT = 16  # bytes per parameter on disk
RECORD = 14e3  # bytes of a record with its learning curve
ITEM = 250  # bytes of one clip's scores


@dataclass(frozen=True)
class Disk:
    """Bytes by kind."""

    checkpoints: float = 0.0
    weights: float = 0.0
    latents: float = 0.0
    audio: float = 0.0
    records: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: Disk) -> Disk:
        """Both."""
        return Disk(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


def training_bytes(model: Paradigm, spec: TrainSpec, frames: int, text_tokens: int, processes: int = 1) -> float:
    """Peak memory of one process of ``processes``."""
    parameters = sum(p.numel() for p in model.parameters())
    clips = -(-spec.batch // (spec.accumulate * processes))
    half = spec.precision == "bf16"
    kept = kept_numbers(model, clips, frames, text_tokens, spec.recompute) * (2 if half else 4)
    state = parameters * (STATE + 2 * half)
    if spec.optimiser == "muon":
        by_name = dict(model.named_parameters())
        state -= 4 * sum(by_name[name].numel() for name in matrices(model))
    return state + kept


def kept_numbers(model: Paradigm, clips: int, frames: int, text_tokens: int, recompute: bool = False) -> float:
    """How many numbers the forward pass of ``clips`` clips keeps for the backward one."""
    config, layers = model.backbone_config, model.backbone_config.n_layers
    whole = _positions(model, frames) + (text_tokens if config.text == "prefix" else 0)
    cross = config.text == "cross"
    per_position = (12 if cross else 9) * config.d_model + 2 * config.d_ff
    text = 2 * layers * text_tokens * config.d_model if cross else 0
    skips = (layers // 2 if config.skips else 0) * 2 * whole * config.d_model
    backbone = whole * _stack(layers, per_position, config.d_model, recompute) + skips
    return clips * (backbone + text + _head(model, frames, recompute))


def _stack(blocks: int, kept: float, width: int, recompute: bool) -> float:
    """Numbers per position that a stack of blocks keeps, each ``kept``, or its input and those of one block."""
    return blocks * width + kept if recompute else blocks * kept


def _positions(model: Paradigm, frames: int) -> int:
    """Positions of the sequence: AR's delayed columns, MAR's buffer before the frames."""
    if model.view == "codes":
        return frames + model.latent.codebooks - 1
    return frames + len(getattr(model, "buffer", ()))


def _head(model: Paradigm, frames: int, recompute: bool) -> float:
    """Numbers that the layers after the backbone keep, per clip."""
    head: Any = getattr(model, "head", None)
    if isinstance(head, FlowTransformer):
        shape = head.config
        blocks = _stack(shape.n_layers, 12 * shape.d_model + 2 * shape.d_ff, shape.d_model, recompute)
        return frames * (head.repeats * blocks + 2 * shape.d_model)
    if isinstance(head, TokenHead):
        width = head.condition.out_features
        rows = frames * head.repeats
        blocks = _stack(len(head.blocks), 12 * width, width, recompute)
        return rows * (blocks + 8 * width + TIME_CODE + head.condition.in_features)
    if model.view == "codes":
        return 2 * _positions(model, frames) * model.latent.codebooks * model.latent.cardinality
    return 2 * frames * model.latent.dim


def training_disk(parameters: int, snapshots: int) -> Disk:
    """Of one training run: its checkpoints while it runs, then its snapshots and its end."""
    return Disk(checkpoints=(KEEP + 1) * CHECKPOINT * parameters, weights=4 * parameters * (snapshots + 1))


def latents_disk(latent: LatentSpec, seconds: float) -> Disk:
    """Of so many seconds of encoded audio."""
    return Disk(latents=latent.frame_rate_hz * seconds * (4 * latent.dim + 2 * latent.codebooks))


def measuring_disk(cells: int, prompts: int, kept_clips: int, seconds: float, sample_rate: int) -> Disk:
    """Of so many measured cells, ``kept_clips`` clips kept in all."""
    return Disk(audio=2 * kept_clips * seconds * sample_rate, records=cells * (RECORD + ITEM * prompts))
