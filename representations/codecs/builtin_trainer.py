"""Training of the built-in codec and VAE.

Half of the crops are decoded from their continuous latents, the other half from the quantised ones (gradients straight
through), so that both views of the encoder decode well. The loss is waveform SNR, multi-resolution log-mel and the
levels of broad bands, plus the quantiser's commitment |z - sg(z_hat)|^2, which together with a little noise on z keeps
the latents easy to model. SNR is needed, since phase is slow to learn; alone it would leave out the treble, which no
codec of this size can predict sample by sample. The weight of the levels grows during training.

The VAE decodes a draw from the posterior instead, and its loss has the posterior's divergence from N(0, I) instead of
the commitment. The weight is alpha_KL = 1e-3 (Tal et al. 2025, appendix E) in the convention of the code that the paper
used (stable-audio-tools): of twice the divergence in nats, summed over channels, averaged over frames.

Muon (Jordan et al. 2024) updates the matrices of the ConvNeXt blocks, AdamW everything else. In 240 CPU-seconds the two
reach a Frechet distance by musicnn of 27.8, where AdamW alone reaches 34.5.

The crops of a step depend on (seed, step) only. The learning rate follows the budget (warm-up, then cosine to the end),
so the budget is always used completely. With a budget in steps, two runs on one machine give the same bits; with one in
CPU seconds they give similar weights.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...common.errors import UserError
from ...common.seeds import seed_for
from .builtin import BuiltinCodec, BuiltinVAE, CodecConfig, SpectralAutoencoder, build, load_codec, save_codec
from .losses import gaussian_kl, snr, spectral_losses
from .networks import ConvNeXtBlock
from .trainer import CodecRecipe, CodecTrainer, Crops, update_average


@dataclass(frozen=True)
class BuiltinRecipe(CodecRecipe):
    """Settings of the training; the shipped weights were made with the defaults.

    Args:
        crop_frames: length of a training crop in latent frames.
        muon_ratio: learning rate of Muon, as a multiple of AdamW's.
        quantiser_start: step at which k-means sets the codebooks; before it, only continuous latents are decoded.
        snr_weight, level_weight: at the start and at the end, changing linearly.
        kl_weight: alpha_KL of a VAE; a codec ignores it.
    """

    model: CodecConfig = field(default_factory=CodecConfig)
    _: KW_ONLY
    cpu_seconds: float = 3000.0
    learning_rate: float = 1e-3
    muon_ratio: float = 4.0
    crop_frames: int = 32
    warmup_share: float = 0.01
    gradient_clip: float = 1.0
    quantiser_start: int = 60
    latent_noise: float = 0.1
    snr_weight: tuple[float, float] = (0.2, 0.15)
    mel_weight: float = 1.0
    level_weight: tuple[float, float] = (0.7, 3.0)
    commitment_weight: float = 0.25
    kl_weight: float = 1e-3

    def __post_init__(self) -> None:
        self.check("crop_frames", "warmup_share", "muon_ratio")

    def trainer(self) -> BuiltinTrainer:
        """A new run: of a codec, or of a VAE if the model has no codebooks."""
        return BuiltinCodecTrainer(self) if self.model.codebooks else BuiltinVAETrainer(self)


class BuiltinTrainer(CodecTrainer):
    """State of one run; subclasses define what happens between encoder and decoder (``latents``)."""

    codec: SpectralAutoencoder

    def __init__(self, config: BuiltinRecipe) -> None:
        super().__init__(config)
        torch.manual_seed(seed_for(config.seed, "codec") % 2**63)
        self.config = config
        self.codec = build(config.model, "codec")
        self.average: SpectralAutoencoder = build(config.model, "codec").requires_grad_(False)
        self.average.load_state_dict(self.codec.state_dict())
        self.crop_samples = config.crop_frames * self.codec.frame_samples
        self.modules = {"codec.": self.codec, "average.": self.average}
        self.buffers = {"buffer.": self.codec}  # the quantiser has buffers outside its state dict
        self.optimisers = self._optimisers()

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        decay, rate = self.config.weight_decay, self.config.learning_rate
        blocks = [module for module in self.codec.modules() if isinstance(module, ConvNeXtBlock)]
        matrices = [layer.weight for block in blocks for layer in (block.up, block.down)]
        theirs = {id(matrix) for matrix in matrices}
        rest = [p for p in self.codec.parameters() if id(p) not in theirs]
        muon = torch.optim.Muon(matrices, lr=rate, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        return {
            "optimiser.": torch.optim.AdamW(rest, lr=rate, weight_decay=decay, betas=(0.9, 0.99)),
            "muon.": muon,
        }

    def latents(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Waveform (B, N) -> the loss terms of its latents, and the latents (B, T, D) to decode."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor) -> None:
        """Set the linear maps of the codec from example audio (B, N); to be called before the first step."""
        self.codec.initialise(wav_BN)
        self.average.load_state_dict(self.codec.state_dict())

    def start_from(self, folder: Path) -> dict[str, Any]:
        """Begin with the weights of the codec or VAE in ``folder``; returns its fingerprint and how it was trained."""
        found = load_codec(folder)
        if found.config != self.config.model:
            raise UserError(f"{folder} holds a codec of other sizes; give its model settings, or start without it")
        for module in (self.codec, self.average):
            module.load_state_dict(found.state_dict())
        kept = ("command", "cpu_seconds", "steps", "training")
        return {"init": {"fingerprint": found.fingerprint, **{key: found.record.get(key) for key in kept}}}

    def start(self, crops: Crops) -> None:
        """Set the linear maps to the principal components of 192 crops."""
        self.initialise(torch.cat([crops.batch(-1 - i, 16) for i in range(12)]))

    def learning_rate(self) -> float:
        """AdamW's current learning rate: a warm-up, then a cosine to 2%."""
        warm = min(1.0, (self.progress + 1e-3) / self.config.warmup_share)
        return self.config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress)))

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update on crops (B, N); returns the loss terms, the gradient norm and the learning rate."""
        learning_rate = self.learning_rate()
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * (self.config.muon_ratio if name == "muon." else 1.0)
        terms = self._losses(wav_BN, self.generator())
        loss = torch.stack(list(terms.values())).sum()
        self.codec.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), self.config.gradient_clip)
        for optimiser in self.optimisers.values():
            optimiser.step()
        update_average(self.average, self.codec, self.config.ema, self.step)
        self.step += 1
        values = {name: round(term.item(), 5) for name, term in terms.items()}
        return {"loss": round(loss.item(), 5), **values, "grad_norm": round(norm.item(), 4), "lr": learning_rate}

    def _losses(self, wav_BN: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        config = self.config
        latent_terms, decoded_BTD = self.latents(wav_BN, generator)
        estimate_BN = self.codec.decode(decoded_BTD)
        mel, levels = spectral_losses(wav_BN, estimate_BN, self.codec.spec.sample_rate, self.step)
        return {
            "snr": -self._now(config.snr_weight) * snr(wav_BN, estimate_BN).mean(),
            "mel": config.mel_weight * mel,
            "levels": self._now(config.level_weight) * levels,
            **latent_terms,
        }

    def _now(self, weight: tuple[float, float]) -> float:
        """A weight that changes linearly from the first value to the second."""
        first, last = weight
        return first + (last - first) * min(self.progress, 1.0)

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write the averaged codec in the format of ``load_codec``."""
        save_codec(self.average, folder, record)


class BuiltinCodecTrainer(BuiltinTrainer):
    """Trains a ``BuiltinCodec``."""

    codec: BuiltinCodec

    def __init__(self, config: BuiltinRecipe) -> None:
        super().__init__(config)
        self._warm_latents: list[Tensor] = []
        self._quantises_from = config.quantiser_start

    def start_from(self, folder: Path) -> dict[str, Any]:
        """See ``BuiltinTrainer``; the codebooks are those of the codec."""
        before = super().start_from(folder)
        self.codec.quantiser.sums_KCD.copy_(self.codec.quantiser.codebooks_KCD)
        self._quantises_from = -1
        return before

    @property
    def can_checkpoint(self) -> bool:
        """False while latents are collected for the k-means that sets the codebooks."""
        return self.step > self._quantises_from

    def latents(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """The commitment; noisy continuous latents, and quantised ones for every second item."""
        z_BTD = self.codec.encode(wav_BN)
        if self.step < self._quantises_from:
            self._warm_latents.append(z_BTD.detach().flatten(0, 1))
            return {}, z_BTD
        if self.step == self._quantises_from:
            examples = [*self._warm_latents[-16:], z_BTD.detach().flatten(0, 1)]
            self.codec.quantiser.initialise(torch.cat(examples), generator)
            self._warm_latents.clear()
        z_hat_BTD = self.codec.dequantise(self.codec.quantise(z_BTD.detach()))
        self.codec.quantiser.update(z_BTD.detach(), generator)
        terms = {"commitment": self.config.commitment_weight * (z_BTD - z_hat_BTD).square().mean()}
        noise_BTD = self.config.latent_noise * torch.randn(z_BTD.shape, generator=generator)
        even_B11 = (torch.arange(len(z_BTD)) % 2 == 0)[:, None, None]
        straight_through_BTD = z_BTD + (z_hat_BTD - z_BTD).detach()
        return terms, torch.where(even_B11, z_BTD + noise_BTD, straight_through_BTD)


class BuiltinVAETrainer(BuiltinTrainer):
    """Trains a ``BuiltinVAE``."""

    codec: BuiltinVAE

    def latents(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """The divergence; a draw from the posterior."""
        mean_BTD, std_BTD = self.codec.posterior(wav_BN)
        terms = {"kl": 2 * self.config.kl_weight * gaussian_kl(mean_BTD, std_BTD).mean()}
        return terms, mean_BTD + std_BTD * torch.randn(mean_BTD.shape, generator=generator)
