"""What every paradigm shares: the objects that go in, the loss that comes out, and the text stem.

A paradigm wraps the shared backbone and says how clips become training targets (``loss``) and how clips are drawn
(``generate``). All randomness comes from per-item streams (``ItemRNG``), so that a sample is the same alone or in a
batch.
To write a new one, subclass ``Paradigm``, and register it or name it as ``package.module:Class``; docs/new-paradigm.md
builds one step by step, and ``bench check`` says whether it keeps the rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..backbones.transformer import Backbone
from ..backbones import BackboneConfig
from ..backbones.cache import TextMemory
from ..backbones.cost import BackboneCost, Phase, linear
from ..common.config import from_dict
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from ..representations.base import LatentSpec
from ..representations.latents.controls import ControlSpec
from ..representations.text.encoders import TextSpec
from .batch import Batch, Conditions, Loss
from .controls import ControlConditioner
from .session import TEXT_BUCKET, Session, Sessions, captures_on
from .trial import Trial

__all__ = ["Batch", "Conditions", "Loss", "Paradigm", "ParadigmOptions", "TextStem"]

PASSES = 3
"""Of training, in forward passes: one forward, and the backward one, which takes two."""


@dataclass(frozen=True)
class ParadigmOptions:
    """Options that every paradigm has.

    Attributes:
        text_layers: blocks of the trained text encoder over word embeddings. With 0 the backbone reads the words
            themselves, which at tiny scale costs less and learns a little faster.
    """

    text_layers: int = 0


class TextConditioner(nn.Module):
    """Text to the backbone's width, (B, L) or (B, L, D_text) -> (B, L, C).

    Embeddings of a frozen encoder are projected. Token ids go through a small bidirectional encoder that is trained
    with the model (the offline default). Padding is never attended to.
    """

    def __init__(self, spec: TextSpec, width: int, n_heads: int, layers: int) -> None:
        super().__init__()
        self.spec = spec
        if spec.kind == "embeddings":
            self.projection = nn.Linear(spec.dim, width)
            return
        self.embedding = nn.Embedding(len(spec.vocabulary), width)
        self.positions = nn.Embedding(spec.max_length, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, n_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        nn.init.normal_(self.positions.weight, std=0.1)

    def cost(self, rows: int, tokens: int) -> int:
        """Operations of the trained encoder over word embeddings."""
        if self.spec.kind == "embeddings":
            return 0
        width, words = self.embedding.embedding_dim, rows * tokens
        return len(self.layers) * (linear(words, width, 12 * width) + 4 * words * tokens * width)

    def forward(self, text: Tensor, mask_BL: Tensor) -> Tensor:
        """Encode; rows that are all masked give numbers that nothing attends to."""
        if self.spec.kind == "embeddings":
            return self.projection(text.to(self.projection.weight.dtype))
        h = self.embedding(text) + self.positions.weight[: text.shape[1]]
        visible = mask_BL | ~mask_BL.any(dim=1, keepdim=True)
        for layer in self.layers:
            h = layer(h, src_key_padding_mask=~visible)
        return self.norm(h)


class Paradigm(nn.Module):
    """Base of all paradigms.

    Class attributes (to be set by a subclass):
        name: short name in registries, records and tables.
        view: which view of the representation it models, ``codes`` (B, K, T) or normalised ``latents`` (B, T, D).
        options_class, sampler_class: frozen dataclasses of its options and of its sampler's settings.
        backbone_needs: backbone fields that it needs by nature, e.g. ``{"causal": True}``; they override the study's.
        streams: whether the beginning of a clip can be heard before its end is decided.
        inpaints: whether ``inpaint`` is there.
        predictor: dotted name of the layer whose output ``loss`` compares with its target (velocities, or logits of
            codes): what tuning holds near to the model before it; empty: not known.
        leaves_parameters_unused: an update may leave some parameters without a gradient, such as a null text in a
            batch that dropped none; with several processes each then looks for them, which takes time.
        trial: small settings under which ``bench check`` tries it.

    Attributes:
        entropies: None, or a list to which every clip batch that is drawn adds how uncertain the choice of its first
            codes was: (B, T, 2) nats per frame, of what was drawn from and of all codes (``ar.entropies``). Paradigms
            over latents add nothing.
    """

    name: ClassVar[str]
    view: ClassVar[Literal["codes", "latents"]]
    options_class: ClassVar[type[ParadigmOptions]] = ParadigmOptions
    sampler_class: ClassVar[type[Any]]
    backbone_needs: ClassVar[Mapping[str, Any]] = {}
    streams: ClassVar[bool] = False
    inpaints: ClassVar[bool] = False
    predictor: ClassVar[str] = ""
    leaves_parameters_unused: ClassVar[bool] = True
    trial: ClassVar[Trial] = Trial()

    def __init__(
        self,
        options: ParadigmOptions,
        backbone: BackboneConfig,
        latent: LatentSpec,
        text: TextSpec,
        controls: Sequence[ControlSpec] = (),
    ) -> None:
        super().__init__()
        if self.view == "codes" and not latent.codebooks:
            raise UserError(
                f"paradigm {self.name!r} models codes, which {latent.name!r} has not; use one with a quantiser"
            )
        self.options, self.latent = options, latent
        self.backbone_config = dataclasses.replace(backbone, **self.backbone_needs)
        self.text_conditioner = TextConditioner(text, backbone.d_model, backbone.n_heads, options.text_layers)
        self.backbone = Backbone(self.backbone_config)
        self.control_conditioner = ControlConditioner(controls, backbone.d_model) if controls else None
        self.entropies: list[Tensor] | None = None
        self._sessions = Sessions()

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Training loss of one batch.

        Args:
            rng: one stream per item, for noise, times and masks.
            shared: one stream for what the whole batch shares, such as a mask ratio.
        """
        raise NotImplementedError

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Draw one clip of ``frames`` frames per row: codes (B, K, T) or normalised latents (B, T, D)."""
        return next(self.stream(conditions, frames, sampler, rng, chunk=frames))

    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """The clip that ``generate`` draws, in parts of ``chunk`` frames, each as soon as it stands.

        Raises:
            UserError: this paradigm does not stream.
        """
        raise UserError(f"paradigm {self.name!r} does not stream; write generate, or stream and streams = True")

    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Fill one span of each clip; what is known comes back untouched.

        Args:
            target: clips as ``generate`` gives them; what they hold in the span does not matter.
            known_BT: False on the span, one per row, of equal length in all rows.

        Raises:
            UserError: this paradigm cannot fill spans.
        """
        raise UserError(f"paradigm {self.name!r} cannot fill spans; choose another")

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """What ``generate`` costs at least: its steps in order, with operations and bytes (``backbones.cost``).

        Args:
            text_tokens: tokens of each caption, in embeddings of a frozen encoder; the encoder itself is not counted.
            element_size: bytes per number, 4 for float32.
        """
        raise NotImplementedError

    def training_cost(self, batch: int, frames: int, text_tokens: int, hidden: int = 0) -> float:
        """Operations of one update on ``batch`` clips, expected over what the update draws, such as mask ratios.

        Counted are all matrix products, two operations per multiply-add and all of a causal square: text stem (a frozen
        encoder is not part of it), controls, backbone, head. The backward pass takes twice the forward one (a product
        for the gradient of each factor), so three passes in all; the few inputs that need no gradient are not left out.
        Not counted: norms, activations, embeddings, the loss, clipping and the optimiser.

        Args:
            text_tokens: to which captions are padded.
            hidden: frames that the update hides to train inpainting; 0 for every other update.

        Raises:
            UserError: the paradigm defines no ``forward_cost``.
        """
        stem = self.control_conditioner.projection if self.control_conditioner else None
        controls = linear(batch * frames, stem.in_features, stem.out_features) if stem else 0
        text = self.text_cost(batch, text_tokens, 1).flops + self.text_conditioner.cost(batch, text_tokens)
        return PASSES * (text + controls + self.forward_cost(batch, frames, text_tokens, hidden))

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """The part of ``training_cost`` that is the paradigm's own: one forward pass through backbone and head."""
        raise UserError(f"paradigm {self.name!r} does not say what training costs; give it a forward_cost")

    def pass_cost(self, rows: int, positions: int, text_tokens: int, layers: int | None = None) -> int:
        """Operations of ``layers`` blocks over whole sequences, text prefix included, without a cache."""
        length = positions + (text_tokens if self.backbone_config.text == "prefix" else 0)
        return self.backbone_cost(1).run(rows, length, length, rows, text_tokens, layers=layers)[0]

    @classmethod
    def sampler(cls, settings: Mapping[str, Any] | None = None) -> Any:
        """Sampler settings from a mapping, defaults for the rest.

        Raises:
            UserError: an unknown key or a value of the wrong type.
        """
        return from_dict(cls.sampler_class, settings or {}, f"{cls.name} sampler")

    def read_text(self, conditions: Conditions, branches: int = 1) -> TextMemory:
        """The text as the backbone reads it, for a batch of guidance's branches, of which the null branch is last.

        Where sampling captures its steps, texts are padded to few different lengths.
        """
        if not torch.is_grad_enabled() and captures_on(conditions.text.device):
            conditions = conditions.padded(self._bucketed(conditions.text.shape[1]))
        if self.backbone_config.text == "prefix" or branches == 3:
            conditions = conditions.branches(branches)
            if self.backbone_config.text != "prefix":  # cross-attention of the null branch is skipped
                conditions = conditions[: len(conditions) // branches * (branches - 1)]
        return self.backbone.read(self.text_conditioner(conditions.text, conditions.text_mask_BL), conditions.text_mask_BL)

    def _bucketed(self, tokens: int) -> int:
        """``tokens`` rounded up to a multiple of ``TEXT_BUCKET``, but to no more than the text encoder gives."""
        most = max(self.text_conditioner.spec.max_length, tokens)
        return min(-(-tokens // TEXT_BUCKET) * TEXT_BUCKET, most)

    def read_controls(self, conditions: Conditions, frames: int, branches: int = 1) -> Tensor | None:
        """What controls add to the backbone's input at each frame, (n B, T, C); None for a model without controls."""
        if self.control_conditioner is None:
            return None
        return self.control_conditioner(conditions.branches(branches).controls, branches * len(conditions), frames)

    def backbone_cost(self, element_size: int) -> BackboneCost:
        """The backbone's part of ``cost``."""
        return BackboneCost(self.backbone_config, element_size)

    def text_cost(self, batch: int, tokens: int, element_size: int) -> Phase:
        """Reading the text, once per clip: projection to the backbone's width, cross-attention's keys and values."""
        phase = self.backbone_cost(element_size).text(batch, tokens)
        spec, width = self.text_conditioner.spec, self.backbone_config.d_model
        if spec.kind == "tokens":
            return phase
        moved = (spec.dim + 1) * width * element_size
        return Phase("text", 1, phase.flops + linear(batch * tokens, spec.dim, width), phase.bytes + moved)

    def session(self, shape: tuple[Any, ...], make: Callable[[], Session]) -> Any:
        """The buffers of a sampling loop. On CUDA those of earlier clips of the same ``shape``, with their graphs."""
        weight = next(self.parameters())
        modes = torch.get_float32_matmul_precision(), torch.is_autocast_enabled(weight.device.type)
        key = (*shape, weight.data_ptr(), weight.dtype, *modes, torch.is_inference_mode_enabled())
        return self._sessions.get(key, make, weight.device)

    def release_sessions(self) -> None:
        """Give back the memory of the sampling loops' buffers and graphs."""
        self._sessions.clear()

    def _apply(self, *given: Any, **named: Any) -> Paradigm:
        """Move or convert the parameters; graphs that read the old ones are dropped."""
        self.release_sessions()
        return super()._apply(*given, **named)

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters per part: each direct child module, and this module's own parameters as ``other``."""
        counts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        own = sum(p.numel() for p in self.parameters(recurse=False))
        return {**counts, **({"other": own} if own else {})}
