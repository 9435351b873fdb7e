"""Training of the built-in codec and VAE, in two phases on one budget.

1. All parts. Half of the crops are decoded from their continuous latents, the other half from the quantised ones
   (gradients straight through), so that both views of the encoder decode well. The loss is waveform SNR, compressed
   complex spectrum and multi-resolution log-mel, plus the quantiser's commitment |z - sg(z_hat)|^2, which together with
   a little noise on z keeps the latents easy to model.
   The VAE decodes a draw from the posterior instead, and its loss has the posterior's divergence from N(0, I) instead
   of the commitment. The weight is alpha_KL = 1e-3 (Tal et al. 2025, appendix E) in the convention of the code that
   the paper used (stable-audio-tools): of twice the divergence in nats, summed over channels, averaged over frames.
2. The decoder alone, with encoder and codebooks frozen and more weight on log-mel: latents stay as they are, and the
   output gains detail.

The crops of a step depend on (seed, step) only. The learning rate follows the budget (warm-up, then cosine to the end
of the phase), so the budget is always used completely. With a budget in steps, two runs on one machine give the same
bits; with one in CPU seconds they give similar weights.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...common.config import later
from ...common.seeds import seed_for
from .builtin import BuiltinCodec, BuiltinVAE, CodecConfig, SpectralAutoencoder, build, save_codec
from .losses import gaussian_kl, mel_loss, snr
from .trainer import CodecRecipe, CodecTrainer, Crops, update_average


@dataclass(frozen=True)
class BuiltinRecipe(CodecRecipe):
    """Settings of the training; the shipped weights were made with the defaults.

    Args:
        decoder_share: fraction of the budget for phase 2.
        crop_frames: length of a training crop in latent frames.
        quantiser_start: step at which k-means sets the codebooks; before it, only continuous latents are decoded.
        kl_weight: alpha_KL of a VAE; a codec ignores it.
    """

    model: CodecConfig = field(default_factory=CodecConfig)
    _: KW_ONLY
    decoder_share: float = 0.2
    crop_frames: int = 32
    warmup_share: float = 0.01
    gradient_clip: float = 1.0
    quantiser_start: int = 60
    latent_noise: float = 0.1
    snr_weight: float = 0.3
    spectrum_weight: float = 10.0
    mel_weight: float = 0.2
    decoder_mel_weight: float = 1.0
    commitment_weight: float = 0.25
    steps: int = later(0)
    kl_weight: float = later(1e-3)

    def __post_init__(self) -> None:
        self.check("crop_frames", "warmup_share")

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
        self._optimise(self.codec)

    def _optimise(self, module: nn.Module) -> None:
        decay = self.config.weight_decay
        self.optimiser = torch.optim.AdamW(module.parameters(), weight_decay=decay, betas=(0.9, 0.99))
        self.optimisers = {"optimiser.": self.optimiser}

    def latents(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Waveform (B, N) -> the loss terms of its latents, and the latents (B, T, D) to decode."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor) -> None:
        """Set the linear maps of the codec from example audio (B, N); to be called before the first step."""
        self.codec.initialise(wav_BN)
        self.average.load_state_dict(self.codec.state_dict())

    def start(self, crops: Crops) -> None:
        """Set the linear maps to the principal components of 192 crops."""
        self.initialise(torch.cat([crops.batch(-1 - i, 16) for i in range(12)]))

    def set_phase(self) -> None:
        """Enter phase 2 when its time has come; it trains the decoder only, from the averaged weights."""
        if self.phase == "all" and self.progress >= 1 - self.config.decoder_share:
            self.phase = "decoder"
            self.codec.load_state_dict(self.average.state_dict())
            self._optimise(self.codec.decoder)
        self.codec.encoder.requires_grad_(self.phase == "all")

    def learning_rate(self) -> float:
        """The current learning rate: per phase a warm-up, then a cosine to 2%; phase 2 has half the peak."""
        first, boundary = self.phase == "all", 1 - self.config.decoder_share
        start, end = (0.0, boundary) if first else (boundary, 1.0)
        done = min(1.0, (self.progress - start) / max(end - start, 1e-9))
        peak = self.config.learning_rate * (1.0 if first else 0.5)
        warm = min(1.0, (done + 1e-3) / self.config.warmup_share)
        return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update on crops (B, N); returns the loss terms, the gradient norm and the learning rate."""
        learning_rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        terms = self._losses(wav_BN, self.generator())
        loss = torch.stack(list(terms.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        parameters = [p for p in self.codec.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        self.optimiser.step()
        update_average(self.average, self.codec, self.config.ema, self.step)
        self.step += 1
        values = {name: round(term.item(), 5) for name, term in terms.items()}
        return {"loss": round(loss.item(), 5), **values, "grad_norm": round(norm.item(), 4), "lr": learning_rate}

    def _losses(self, wav_BN: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        config, codec = self.config, self.codec
        latent_terms, decoded_BTD = self.latents(wav_BN, generator)
        spectra_BFC = codec.decode_spectra(decoded_BTD)
        estimate_BN = codec.spectrum.inverse(spectra_BFC)
        mel_weight = config.mel_weight if self.phase == "all" else config.decoder_mel_weight
        return {
            "snr": -config.snr_weight * snr(wav_BN, estimate_BN).mean(),
            "spectrum": config.spectrum_weight * nn.functional.l1_loss(spectra_BFC, codec.spectrum(wav_BN)),
            "mel": mel_weight * mel_loss(wav_BN, estimate_BN, codec.spec.sample_rate, self.step),
            **latent_terms,
        }

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write the averaged codec in the format of ``load_codec``."""
        save_codec(self.average, folder, record)


class BuiltinCodecTrainer(BuiltinTrainer):
    """Trains a ``BuiltinCodec``."""

    codec: BuiltinCodec

    def __init__(self, config: BuiltinRecipe) -> None:
        super().__init__(config)
        self._warm_latents: list[Tensor] = []

    @property
    def can_checkpoint(self) -> bool:
        """False while latents are collected for the k-means that sets the codebooks."""
        return self.step > self.config.quantiser_start

    def latents(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """The commitment; noisy continuous latents, and quantised ones for every second item."""
        z_BTD = self.codec.encode(wav_BN)
        if self.step < self.config.quantiser_start:
            self._warm_latents.append(z_BTD.detach().flatten(0, 1))
            return {}, z_BTD
        if self.step == self.config.quantiser_start:
            examples = [*self._warm_latents[-16:], z_BTD.detach().flatten(0, 1)]
            self.codec.quantiser.initialise(torch.cat(examples), generator)
            self._warm_latents.clear()
        z_hat_BTD = self.codec.dequantise(self.codec.quantise(z_BTD.detach()))
        terms = {}
        if self.phase == "all":
            self.codec.quantiser.update(z_BTD.detach(), generator)
            terms["commitment"] = self.config.commitment_weight * (z_BTD - z_hat_BTD).square().mean()
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
        terms = {}
        if self.phase == "all":
            terms["kl"] = 2 * self.config.kl_weight * gaussian_kl(mean_BTD, std_BTD).mean()
        return terms, mean_BTD + std_BTD * torch.randn(mean_BTD.shape, generator=generator)
