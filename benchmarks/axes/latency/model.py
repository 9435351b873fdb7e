"""What a latency cell times: a randomly initialised model of the real shape on random text embeddings.

No weights and no data are needed, because no time depends on their values, except for the number of steps that the
solver dopri5 takes. The work of one sample starts from text embeddings and ends with codes or latents, or with the
waveform if the decoder is timed too; drawing the random numbers is part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .... import paradigms
from ....backbones.cost import Phase
from ....common.seeds import ItemRNG, seed_for
from ....paradigms.base import Conditions, Paradigm
from ....representations import load_representation
from ....representations.base import Representation
from ....representations.shapes import TEXT_WIDTH, random_encodec
from ....representations.spec import LatentSpec
from ....representations.text.encoders import TextSpec
from .cells import LatencyConfig
from .tracker.sampling import Work

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Generate = Callable[[Conditions, int, Any, ItemRNG], Tensor]


class Subject:
    """The model of a cell, with the conditions and settings that it is timed with."""

    def __init__(self, config: LatencyConfig) -> None:
        self.setting, self.seed = config.setting, config.seed
        self.device, self.dtype = config.setting.device, DTYPES[config.setting.dtype]
        torch.manual_seed(seed_for(self.seed, "initialisation"))
        with torch.device(self.device):  # a CPU takes seconds to draw the weights of a large model
            model = build(config)
        self.model = model.to(self.device, self.dtype).eval().requires_grad_(False)
        self.sampler = self.model.sampler(config.sampler)
        self.frames, self.batch = config.setting.frames, config.setting.batch
        self.conditions = self._conditions()
        self.decoder = decoder_of(config.setting.decoder, self.model.latent)
        # The built-in codec computes complex spectra, for which torch has no half precision.
        self.decoder_dtype = torch.float32 if self.setting.decoder == "builtin" else self.dtype
        if self.decoder is not None:
            self.decoder.to(self.device, self.decoder_dtype)

    def work(self, generate: Generate) -> Work:
        """The work of one sample, done by ``generate``, which is the model's own or that of a baseline."""

        def run() -> Tensor:
            made = generate(self.conditions, self.frames, self.sampler, self.rng())
            return made if self.decoder is None else self.decode(made)

        return run

    def first_audio(self) -> Work | None:
        """The work until the first ``first_audio_seconds`` are generated; None if the paradigm does not stream."""
        if not self.model.streams:
            return None
        chunk = max(1, min(self.frames, self.model.latent.frames(self.setting.first_audio_seconds)))

        def run() -> Tensor:
            stream = self.model.stream(self.conditions, self.frames, self.sampler, self.rng(), chunk)
            first = next(iter(stream))
            return first if self.decoder is None else self.decode(first)

        return run

    def decoding(self) -> Work | None:
        """The work of the decoder alone, on random codes or latents; None if the decoder is not timed."""
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
        """The random number streams of the clips, the same for every sample."""
        seeds = [seed_for(self.seed, "clip", i) for i in range(self.batch)]
        return ItemRNG(seeds, self.device)

    def cost(self) -> list[Phase]:
        """The operations and bytes that the sampler cannot avoid."""
        size = self.dtype.itemsize
        return self.model.cost(self.batch, self.frames, self.sampler, self.setting.text_tokens, size)

    def weight_bytes(self) -> int:
        """Bytes of the model's weights."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    def compile(self) -> None:
        """Apply torch.compile to each block of the backbone; it compiles at the first call."""
        for block in self.model.backbone.blocks:
            block.compile()

    def _conditions(self) -> Conditions:
        tokens = self.setting.text_tokens
        generator = torch.Generator().manual_seed(seed_for(self.seed, "text"))
        text_BLD = torch.randn(self.batch, tokens, TEXT_WIDTH, generator=generator)
        mask_BL = torch.ones(self.batch, tokens, dtype=torch.bool)
        return Conditions(text_BLD.to(self.device, self.dtype), mask_BL.to(self.device))


def build(config: LatencyConfig) -> Paradigm:
    """The model of a cell, randomly initialised, on torch's default device."""
    model = config.model
    assert model is not None
    text = TextSpec("embeddings", TEXT_WIDTH, (), config.setting.text_tokens, "random, as wide as T5-base")
    return paradigms.build(model.paradigm, model.options, model.backbone, config.latent, text)


def decoder_of(name: str, latent: LatentSpec) -> Representation | None:
    """The decoder ``builtin`` (of the built-in codec) or ``encodec`` (with random weights); None for ``none``."""
    if name == "none":
        return None
    return load_representation("codec_builtin") if name == "builtin" else random_encodec(latent)


def backbone_steps(phases: Iterable[Phase]) -> int:
    """How many times the backbone runs, not counting text and prefix."""
    return sum(p.times for p in phases if p.name not in ("text", "prefix") and not p.name.startswith("head"))
