"""The base class of all paradigms.

A paradigm wraps the shared backbone and defines how clips become training targets (``loss``) and how clips are
generated (``generate``). All randomness comes from one stream per clip (``ItemRNG``), so that a clip is the same alone
or in a batch.

To write a new paradigm, subclass ``Paradigm``, and register the class or name it as ``package.module:Class``.
docs/new-paradigm.md builds one step by step; ``bench check`` tests whether it keeps the rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from ..backbones import BackboneConfig
from ..backbones.cache import TextMemory
from ..backbones.cost import BackboneCost, Phase, linear
from ..backbones.transformer import Backbone
from ..common.config import from_dict
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from ..representations.latents.controls import ControlSpec
from ..representations.spec import LatentSpec
from ..representations.text.encoders import TextSpec
from .batch import Batch, Conditions, Loss
from .conditioning import ControlConditioner, TextConditioner
from .conformance import ConformanceSettings
from .session import TEXT_BUCKET, Session, Sessions, captures_on

__all__ = ["Batch", "Conditions", "Loss", "Paradigm", "ParadigmOptions"]

S = TypeVar("S", bound=Session)
PASSES = 3
"""Cost of an update in forward passes: one forward pass, and a backward pass that costs two."""


@dataclass(frozen=True)
class ParadigmOptions:
    """Options that every paradigm has.

    Attributes:
        text_layers: blocks of the trained text encoder over word embeddings. With 0 the backbone reads the word
            embeddings themselves, which at tiny scale costs less and learns a little faster.
    """

    text_layers: int = 0


class Paradigm(nn.Module):
    """Base of all paradigms.

    Class attributes, to be set by a subclass:
        name: short name in registries, records and tables.
        view: which view of the representation it models, ``codes`` (B, K, T) or normalised ``latents`` (B, T, D).
        options_class, sampler_class: frozen dataclasses of its options and of its sampler's settings.
        backbone_needs: what the paradigm's nature fixes in the backbone's config: a field's only value, as in
            ``{"causal": True}``, or a tuple of the values that it can have, the default first, as in
            ``{"time": ("add", "adaln")}``. A study chooses among them; ``fitted`` refuses any other choice.
        streams: whether ``stream`` yields the beginning of a clip before its end is generated.
        inpaints: whether ``inpaint`` is implemented.
        predictor: dotted name of the layer whose output ``loss`` compares with its target (velocities, or logits of
            codes). Reward fine-tuning penalises the distance of this output from the untuned model's. Empty: unknown.
        leaves_parameters_unused: whether an update may leave parameters without a gradient, such as a null text in a
            batch that dropped no text. DistributedDataParallel then searches for them in every update, which is slow.
        conformance: small settings with which ``bench check`` tests the paradigm.

    Attributes:
        entropies: None, or a list to which ``generate`` appends the entropies of the first codebook, (B, T, 2) in nats:
            of the distribution that was sampled, and of the one over all codes (``ar.entropies``). Paradigms over
            latents append nothing.
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
    conformance: ClassVar[ConformanceSettings] = ConformanceSettings()

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
                f"paradigm {self.name!r} models codes, but {latent.name!r} has no quantiser; use one that has"
            )
        self.options, self.latent = options, latent
        self.backbone_config = self.fitted(backbone)
        self.text_conditioner = TextConditioner(text, backbone.d_model, backbone.n_heads, options.text_layers)
        self.backbone = Backbone(self.backbone_config)
        self.control_conditioner = ControlConditioner(controls, backbone.d_model) if controls else None
        self.entropies: list[Tensor] | None = None
        self._sessions = Sessions()
        self.add_layers()

    @classmethod
    def fitted(cls, backbone: BackboneConfig, chosen: Container[str] = ()) -> BackboneConfig:
        """``backbone`` with the values of ``backbone_needs``; choices among the values of a tuple stay.

        Args:
            chosen: fields that were set on purpose. A field that is not at its default in ``BackboneConfig`` always is.

        Raises:
            UserError: a field was set to a value that the paradigm cannot use.
        """
        defaults, changes = BackboneConfig(), dict[str, Any]()
        for field, need in cls.backbone_needs.items():
            allowed, value = need if isinstance(need, tuple) else (need,), getattr(backbone, field)
            if value in allowed:
                continue
            if field in chosen or value != getattr(defaults, field):
                able = " or ".join(str(one).lower() for one in allowed)
                raise UserError(
                    f"backbone.{field} {str(value).lower()} is not possible for paradigm {cls.name!r}, which needs "
                    f"{able}; remove the setting, or give it to other arms alone (arms: [{{paradigm: ..., "
                    f"backbone: {{{field}: {str(value).lower()}}}}}])"
                )
            changes[field] = allowed[0]
        return dataclasses.replace(backbone, **changes)

    def add_layers(self) -> None:
        """Add the paradigm's own layers, after the backbone and the conditioners; called once, by ``__init__``."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Training loss of one batch.

        Args:
            rng: one stream per clip, for noise, times and masks.
            shared: one stream for what all clips of the batch share, such as a mask ratio.
        """
        raise NotImplementedError

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Generate one clip of ``frames`` frames per row: codes (B, K, T) or normalised latents (B, T, D)."""
        return next(self.stream(conditions, frames, sampler, rng, chunk=frames))

    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Yield the clips that ``generate`` returns in parts of ``chunk`` frames, each as soon as it is final.

        Raises:
            UserError: this paradigm does not stream.
        """
        raise UserError(f"paradigm {self.name!r} does not stream; write generate, or stream and streams = True")

    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Fill one span of each clip; the known frames are returned unchanged.

        Args:
            target: clips as ``generate`` returns them; their content in the span is ignored.
            known_BT: False on the span, one per row, of equal length in all rows.

        Raises:
            UserError: this paradigm cannot fill spans.
        """
        raise UserError(f"paradigm {self.name!r} cannot fill spans; choose another")

    @classmethod
    def sampler(cls, settings: Mapping[str, Any] | None = None) -> Any:
        """Sampler settings from a mapping, with defaults for missing keys.

        Raises:
            UserError: an unknown key or a value of the wrong type.
        """
        return from_dict(cls.sampler_class, settings or {}, f"{cls.name} sampler")

    def read_text(self, conditions: Conditions, branches: int = 1) -> TextMemory:
        """The text as the backbone reads it, for a batch of the branches of guidance, the null branch last.

        Where sampling captures its steps as graphs, texts are padded to multiples of ``TEXT_BUCKET`` tokens.
        """
        if not torch.is_grad_enabled() and captures_on(conditions.text.device):
            conditions = conditions.padded(self._bucketed(conditions.text.shape[1]))
        if self.backbone_config.text == "prefix" or branches == 3:
            conditions = conditions.branches(branches)
            if self.backbone_config.text != "prefix":  # cross-attention of the null branch is skipped
                conditions = conditions[: len(conditions) // branches * (branches - 1)]
        encoded = self.text_conditioner(conditions.text, conditions.text_mask_BL)
        return self.backbone.read(encoded, conditions.text_mask_BL)

    def _bucketed(self, tokens: int) -> int:
        """``tokens`` rounded up to a multiple of ``TEXT_BUCKET``, but to no more than the text encoder returns."""
        most = max(self.text_conditioner.spec.max_length, tokens)
        return min(-(-tokens // TEXT_BUCKET) * TEXT_BUCKET, most)

    def read_controls(self, conditions: Conditions, frames: int, branches: int = 1) -> Tensor | None:
        """What controls add to the backbone's input at each frame, (n B, T, C); None for a model without controls."""
        if self.control_conditioner is None:
            return None
        return self.control_conditioner(conditions.branches(branches).controls, branches * len(conditions), frames)

    def session(self, shape: tuple[Any, ...], make: Callable[[], S], text: TextMemory, controls: Tensor | None) -> S:
        """The buffers of a sampling loop under the given conditions.

        On CUDA they are those of earlier clips of the same ``shape``, with their graphs; otherwise ``make`` makes them.
        """
        weight = next(self.parameters())
        modes = torch.get_float32_matmul_precision(), torch.is_autocast_enabled(weight.device.type)
        key = (
            *shape, text.shape(), controls is None,
            weight.data_ptr(), weight.dtype, *modes, torch.is_inference_mode_enabled(),
        )  # fmt: skip
        session = cast(S, self._sessions.get(key, make, weight.device))
        session.condition(text, controls)
        return session

    def release_sessions(self) -> None:
        """Free the memory of the sampling loops' buffers and graphs."""
        self._sessions.clear()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the parameters; graphs that read the old ones are dropped."""
        self.release_sessions()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters per part: each direct child module, and this module's own parameters as ``other``."""
        counts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        own = sum(p.numel() for p in self.parameters(recurse=False))
        return {**counts, **({"other": own} if own else {})}

    # What sampling and training cost.

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """The least that ``generate`` costs: its steps in order, with operations and bytes (``backbones.cost``).

        Args:
            text_tokens: tokens of each caption. A frozen text encoder is not counted.
            element_size: bytes per number, 4 for float32.
        """
        raise NotImplementedError

    def training_cost(self, batch: int, frames: int, text_tokens: int, hidden: int = 0) -> float:
        """Floating-point operations of one update on ``batch`` clips, averaged over random choices such as mask ratios.

        All matrix products of text conditioner, controls, backbone and head are counted, two operations per
        multiply-add and all of a causal square. The backward pass costs two forward passes (a product for the gradient
        of each factor), so an update costs three; the few inputs that need no gradient are not subtracted. Not counted:
        a frozen text encoder, norms, activations, embeddings, the loss, clipping and the optimiser.

        Args:
            text_tokens: length to which captions are padded.
            hidden: frames that the update hides to train inpainting; 0 for every other update.

        Raises:
            UserError: the paradigm defines no ``forward_cost``.
        """
        conditioner = self.control_conditioner
        controls = conditioner.projection.cost(batch * frames)[0] if conditioner else 0
        text = self.text_cost(batch, text_tokens, 1).flops + self.text_conditioner.cost(batch, text_tokens)
        return PASSES * (text + controls + self.forward_cost(batch, frames, text_tokens, hidden))

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """The paradigm's own part of ``training_cost``: operations of one forward pass through backbone and head."""
        raise UserError(f"paradigm {self.name!r} does not say what training costs; give it a forward_cost")

    def pass_cost(self, rows: int, positions: int, text_tokens: int, layers: int | None = None) -> int:
        """Operations of ``layers`` blocks over whole sequences, text prefix included, without a cache."""
        length = positions + self.prefix_length(text_tokens)
        return self.backbone_cost(1).run(rows, length, length, rows, text_tokens, layers=layers)[0]

    def backbone_cost(self, element_size: int) -> BackboneCost:
        """The backbone's part of ``cost``."""
        return BackboneCost(self.backbone_config, element_size)

    def prefix_length(self, text_tokens: int) -> int:
        """Positions that the text takes before the sequence: all of its tokens where it is a prefix, else none."""
        return text_tokens if self.backbone_config.text == "prefix" else 0

    def guided_rows(self, batch: int, sampler: Any) -> tuple[int, int]:
        """Rows of a pass over all branches of guidance, and how many of them read a text.

        Cross-attention of the null branch is zero and is skipped; a text prefix is there in every row, masked or not.
        """
        rows = batch * sampler.branches
        return rows, rows if self.backbone_config.text == "prefix" else batch * max(1, sampler.branches - 1)

    def text_cost(self, rows: int, tokens: int, element_size: int) -> Phase:
        """Reading the text, once per clip: projection to the backbone's width, keys and values of cross-attention."""
        phase = self.backbone_cost(element_size).text(rows, tokens)
        spec, width = self.text_conditioner.spec, self.backbone_config.d_model
        if spec.kind == "tokens":
            return phase
        moved = (spec.dim + 1) * width * element_size
        return Phase("text", 1, phase.flops + linear(rows * tokens, spec.dim, width), phase.bytes + moved)

    def decoding_cost(
        self, batch: int, steps: int, sampler: Any, text_tokens: int, element_size: int, around: tuple[int, int]
    ) -> list[Phase]:
        """Reading the text, then ``steps`` passes over one position each, with a growing KV cache.

        Args:
            around: operations and bytes of the layers before and after the backbone in one pass.
        """
        (rows, text_rows), prefix = self.guided_rows(batch, sampler), self.prefix_length(text_tokens)
        phases, count = [self.text_cost(text_rows, text_tokens, element_size)], self.backbone_cost(element_size)
        if prefix:
            phases.append(Phase("prefix", 1, *count.run(rows, prefix, prefix, text_rows, prefix, cached=True)))
        for step in range(1, steps + 1):
            flops, moved = count.run(rows, 1, prefix + step, text_rows, text_tokens, cached=True)
            phases.append(Phase("step", 1, flops + around[0], moved + around[1]))
        return phases
