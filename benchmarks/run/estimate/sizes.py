"""What the training of a model holds in memory at its peak, and what a study leaves on disk.

Models are built on the meta device, without memory for their weights. Memory of one process, for N parameters in
float32:

    weights 4N + gradients 4N + AdamW's moments 8N + moving average 4N = 20N bytes, under bf16 2N more for the copies;
    Muon keeps one moment, 4 bytes less for each parameter that it updates
    + what the forward pass keeps for the backward pass, of one micro-batch:
      a block keeps per position 12 C + 2 F numbers (two norms and their inputs, q, k, v, attention's output, the same
      again for cross-attention without its k and v, the feed-forward layer before and after GELU), the text's keys and
      values 2 C per token, AR's logits twice, a per-token head 12 W per block and noise level of a token

(C: width of the backbone, F: of its feed-forward layers, W: of the head.) Each number takes 4 bytes, under bf16 2. With
``train.recompute`` each block keeps its input only, and one block at a time keeps all of the above. Attention is fused,
so no T x T matrix is kept. Every random draw counts at its worst: nothing is dropped.
tests/unit/benchmarks/run/test_planning.py compares these formulas with what torch really keeps.

Disk: two checkpoints of 16N bytes (weights, average, moments) and a third while it is written; 4N per snapshot and at
the end; latents of the training clips (float32, codes in int16); kept audio (16 bits); records with their items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from .... import paradigms
from ....backbones.cost import TIME_CODE
from ....common.config import from_dict
from ....paradigms.flow_transformer import FlowTransformer
from ....paradigms.heads import TokenHead
from ....representations.latents.controls import ControlSpec
from ....training.checkpoints import KEEP
from ....training.optimiser import matrices

if TYPE_CHECKING:
    from ....paradigms.base import Paradigm
    from ....representations.spec import LatentSpec
    from ....representations.text.encoders import TextSpec
    from ....training import TrainSpec
    from ....training.spec import ModelConfig

STATE = 20  # bytes per parameter in training
CHECKPOINT = 16  # bytes per parameter on disk
RECORD = 14e3  # bytes of a record with its learning curve
ITEM = 250  # bytes of one clip's scores


@dataclass(frozen=True)
class ModelInputs:
    """What the models of a study read, as far as their costs depend on it.

    Attributes:
        text_tokens: length to which captions are padded.
        corpus_seconds: of training audio.
    """

    latent: LatentSpec
    text: TextSpec
    text_tokens: int
    corpus_seconds: float = 0.0


def meta_model(config: ModelConfig, inputs: ModelInputs) -> Paradigm:
    """The model of a cell, without memory for its weights.

    Raises:
        UserError: an unknown paradigm or option.
    """
    controls = [from_dict(ControlSpec, about, "controls") for about in config.controls]
    with torch.device("meta"):
        return paradigms.build(config.paradigm, config.options, config.backbone, inputs.latent, inputs.text, controls)


def parameter_count(model: torch.nn.Module) -> int:
    """Number of parameters of ``model``."""
    return sum(p.numel() for p in model.parameters())


@dataclass(frozen=True)
class Disk:
    """Bytes on disk, by kind."""

    checkpoints: float = 0.0
    weights: float = 0.0
    latents: float = 0.0
    audio: float = 0.0
    records: float = 0.0

    @property
    def total(self) -> float:
        """Bytes of all kinds."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    def __add__(self, other: Disk) -> Disk:
        """The sum, kind by kind."""
        return Disk(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


def training_bytes(model: Paradigm, spec: TrainSpec, frames: int, text_tokens: int, processes: int = 1) -> float:
    """Peak memory in bytes of each of ``processes`` processes that train ``model`` together."""
    parameters = parameter_count(model)
    clips = -(-spec.batch // (spec.accumulate * processes))
    half = spec.precision == "bf16"
    kept = kept_numbers(model, clips, frames, text_tokens, spec.recompute) * (2 if half else 4)
    state = parameters * (STATE + 2 * half)
    if spec.optimiser == "muon":
        by_name = dict(model.named_parameters())
        state -= 4 * sum(by_name[name].numel() for name in matrices(model))
    return state + kept


def kept_numbers(model: Paradigm, clips: int, frames: int, text_tokens: int, recompute: bool = False) -> float:
    """Number of values that the forward pass on ``clips`` clips keeps for the backward pass."""
    config, layers = model.backbone_config, model.backbone_config.n_layers
    whole = _positions(model, frames) + (text_tokens if config.text == "prefix" else 0)
    cross = config.text == "cross"
    per_position = (12 if cross else 9) * config.d_model + 2 * config.d_ff
    text = 2 * layers * text_tokens * config.d_model if cross else 0
    skips = (layers // 2 if config.skips else 0) * 2 * whole * config.d_model
    backbone = whole * _stack(layers, per_position, config.d_model, recompute) + skips
    return clips * (backbone + text + _head(model, frames, recompute))


def _stack(blocks: int, kept: float, width: int, recompute: bool) -> float:
    """Values per position that a stack of blocks keeps: ``kept`` each; recomputed: their inputs, and one block's."""
    return blocks * width + kept if recompute else blocks * kept


def _positions(model: Paradigm, frames: int) -> int:
    """Length of the sequence: frames, and the columns of AR's delay or MAR's buffer."""
    if model.view == "codes":
        return frames + model.latent.codebooks - 1
    return frames + len(getattr(model, "buffer", ()))


def _head(model: Paradigm, frames: int, recompute: bool) -> float:
    """Values per clip that the layers after the backbone keep."""
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
    """Disk space of one training run: checkpoints while it runs, then the weights of its snapshots and of its end."""
    return Disk(checkpoints=(KEEP + 1) * CHECKPOINT * parameters, weights=4 * parameters * (snapshots + 1))


def latents_disk(latent: LatentSpec, seconds: float) -> Disk:
    """Disk space of ``seconds`` of encoded audio."""
    return Disk(latents=latent.frame_rate_hz * seconds * (4 * latent.dim + 2 * latent.codebooks))


def measuring_disk(cells: int, prompts: int, kept_clips: int, seconds: float, sample_rate: int) -> Disk:
    """Disk space of ``cells`` records, each with the scores of ``prompts`` clips, and of ``kept_clips`` kept clips."""
    return Disk(audio=2 * kept_clips * seconds * sample_rate, records=cells * (RECORD + ITEM * prompts))
