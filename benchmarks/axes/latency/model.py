"""What a latency cell times: a randomly initialised model of the real shape, random text, and the work on them.

No weights and no data are needed, since no time here depends on their values; only the number of steps that dopri5
takes does. The work of one sample starts from ready text embeddings and ends with codes or latents, or with the
waveform where the decoder is in the clock; drawing the random numbers is part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .... import paradigms
from ....backbones import BackboneConfig
from ....common.config import from_dict
from ....common.seeds import ItemRNG, seed_for
from ....paradigms.base import Conditions
from ....representations.base import LatentSpec, Representation
from ....representations.text.encoders import TextSpec
from .cells import ENCODEC_STRIDES, TEXT_WIDTH
from .tracker.sampling import Work

if TYPE_CHECKING:
    from ....backbones.cost import Phase
    from ....paradigms.base import Paradigm

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Generate = Callable[[Conditions, int, Any, ItemRNG], Tensor]


class Subject:
    """A model under test, with the conditions and settings of its cell.

    Args:
        config: a cell's.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        setting = config["setting"]
        self.config, self.setting, self.seed = config, setting, config["seed"]
        self.device, self.dtype = setting["device"], DTYPES[setting["dtype"]]
        torch.manual_seed(seed_for(self.seed, "initialisation"))
        with torch.device(self.device):  # a CPU takes seconds to draw the weights of a large model
            model = build(config)
        self.model = model.to(self.device, self.dtype).eval().requires_grad_(False)
        self.sampler = self.model.sampler(config["sampler"])
        self.frames, self.batch = setting["frames"], setting["batch"]
        self.conditions = self._conditions()
        self.decoder = decoder_of(config, self.model.latent)
        # The built-in codec works on complex spectra, which have no half precision.
        self.decoder_dtype = torch.float32 if self.setting["decoder"] == "builtin" else self.dtype
        if self.decoder is not None:
            self.decoder.to(self.device, self.decoder_dtype)

    def work(self, generate: Generate) -> Work:
        """One sample's work by ``generate``: the model's own, or a peer's."""

        def run() -> Tensor:
            made = generate(self.conditions, self.frames, self.sampler, self.rng())
            return made if self.decoder is None else self.decode(made)

        return run

    def first_audio(self) -> Work | None:
        """The work up to the first ``first_audio_seconds``; None where the paradigm does not stream."""
        if not self.model.streams:
            return None
        chunk = max(1, min(self.frames, self.model.latent.frames(self.setting["first_audio_seconds"])))

        def run() -> Tensor:
            stream = self.model.stream(self.conditions, self.frames, self.sampler, self.rng(), chunk)
            first = next(iter(stream))
            return first if self.decoder is None else self.decode(first)

        return run

    def decoding(self) -> Work | None:
        """The decoder's part of the work alone, on random codes or latents; None where it is not in the clock."""
        if self.decoder is None:
            return None
        latent = self.model.latent
        if self.model.view == "codes":
            shape = (self.batch, latent.codebooks, self.frames)
            made = torch.randint(latent.cardinality, shape, device=self.device)
        else:
            made = torch.randn(self.batch, self.frames, latent.dim, device=self.device)
        return lambda: self.decode(made)

    @torch.no_grad()
    def decode(self, made: Tensor) -> Tensor:
        """Codes (B, K, T) or normalised latents (B, T, D) to waveform (B, N)."""
        assert self.decoder is not None
        discrete = self.model.view == "codes"
        z_BTD = self.decoder.dequantise(made) if discrete else self.model.latent.denormalise(made)
        return self.decoder.decode(z_BTD.to(self.decoder_dtype))

    def rng(self) -> ItemRNG:
        """The clips' random streams, the same for every sample."""
        seeds = [seed_for(self.seed, "clip", i) for i in range(self.batch)]
        return ItemRNG(seeds, self.device)

    def cost(self) -> list[Phase]:
        """Operations and bytes that the sampler cannot do without."""
        size = self.dtype.itemsize
        return self.model.cost(self.batch, self.frames, self.sampler, self.setting["text_tokens"], size)

    def weight_bytes(self) -> int:
        """Bytes of the model's weights."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    def compile(self) -> None:
        """Have torch.compile take each block of the backbone; it compiles at the first call."""
        for block in self.model.backbone.blocks:
            block.compile()

    def _conditions(self) -> Conditions:
        tokens = self.setting["text_tokens"]
        generator = torch.Generator().manual_seed(seed_for(self.seed, "text"))
        text_BLD = torch.randn(self.batch, tokens, TEXT_WIDTH, generator=generator)
        mask_BL = torch.ones(self.batch, tokens, dtype=torch.bool)
        return Conditions(text_BLD.to(self.device, self.dtype), mask_BL.to(self.device))


def build(config: dict[str, Any]) -> Paradigm:
    """The cell's model, randomly initialised, on torch's default device."""
    model = config["model"]
    text = TextSpec("embeddings", TEXT_WIDTH, (), config["setting"]["text_tokens"], "random, as wide as T5-base")
    return paradigms.build(
        model["paradigm"],
        model["options"],
        from_dict(BackboneConfig, model["backbone"], "backbone"),
        from_dict(LatentSpec, config["latent"], "latent"),
        text,
    )


def decoder_of(config: dict[str, Any], latent: LatentSpec) -> Representation | None:
    """The decoder in the clock: the built-in codec's, or a random EnCodec of papers/002's strides and channels.

    Its activation is transformers' ELU where papers/002 has GELU, which costs the same.
    """
    if config["setting"]["decoder"] == "none":
        return None
    if config["setting"]["decoder"] == "builtin":
        from ....representations import load_representation

        return load_representation("codec_builtin")
    from transformers import EncodecConfig, EncodecModel

    from ....representations.codecs.encodec import Encodec

    bits = math.log2(latent.cardinality)
    shape = EncodecConfig(
        sampling_rate=latent.sample_rate,
        target_bandwidths=[latent.frame_rate_hz * latent.codebooks * bits / 1000],
        upsampling_ratios=list(ENCODEC_STRIDES[int(latent.frame_rate_hz)]),
        num_filters=64,
        hidden_size=latent.dim,
        codebook_dim=latent.dim,
        codebook_size=latent.cardinality,
        use_causal_conv=False,
    )
    return Encodec(EncodecModel(shape).eval(), latent.name, latent.codebooks)


def backbone_steps(phases: Iterable[Phase]) -> int:
    """How often the backbone runs, text and prefix left out."""
    return sum(p.times for p in phases if p.name not in ("text", "prefix") and not p.name.startswith("head"))
