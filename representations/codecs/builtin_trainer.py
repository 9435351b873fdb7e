"""The recipe of the built-in codec and VAE: two phases on one budget.

1. Everything. Each crop is decoded once: from its continuous latents for half of the items, from their quantised values
   (gradients straight through) for the other half, so that both views of the encoder decode well. The loss is waveform
   SNR, compressed complex spectrum and multi-resolution log-mel, plus the quantiser's commitment |z - sg(z_hat)|^2,
   which with a little noise on z keeps the latents easy to model.
   The VAE's decoder hears a draw from the posterior instead, and the loss has, for quantiser and commitment, the
   posterior's divergence from N(0, I). Its weight is papers/002's alpha_KL = 1e-3 in the convention of the code that
   the paper used (stable-audio-tools): of twice the divergence in nats, summed over channels, averaged over frames.
2. The decoder alone, encoder and codebooks frozen, with more weight on log-mel: latents stay as they are and detail
   returns.

A step's crops depend only on (seed, step). The learning rate follows the budget (warm-up, cosine to the end of the
phase), which is therefore always used whole. A budget of steps makes two runs on one machine bit-identical; one of CPU
seconds makes them alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...common.config import later
from ...common.seeds import seed_for
from .builtin import BuiltinCodec, BuiltinVAE, CodecConfig, SpectralAutoencoder, build, save_codec
from .losses import gaussian_kl, mel_loss, snr
from .trainer import Crops, Trainer, check_training, optimiser_tensors, part, restore_optimiser, update_average


@dataclass(frozen=True)
class CodecTraining:
    """The recipe; the defaults made the shipped weights.

    Args:
        steps: budget of both phases, updates; 0: by the clock instead, as follows.
        cpu_seconds: budget of both phases, seconds of this process's CPU time.
        wall_seconds: budget on the wall clock, for busy machines; the schedule follows whichever is nearer its end.
        decoder_share: part of the budget for phase 2.
        quantiser_start: step at which the codebooks are set up by k-means; before it, latents are continuous only.
        snapshot_seconds: CPU seconds between checkpoints (each also writes a usable codec).
        kl_weight: alpha_KL of a VAE; without meaning for a codec.
    """

    model: CodecConfig = field(default_factory=CodecConfig)
    cpu_seconds: float = 2500.0
    wall_seconds: float = 36000.0
    decoder_share: float = 0.2
    batch: int = 16
    crop_frames: int = 32
    learning_rate: float = 1.5e-3
    warmup_share: float = 0.01
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema: float = 0.998
    quantiser_start: int = 60
    latent_noise: float = 0.1
    snr_weight: float = 0.3
    spectrum_weight: float = 10.0
    mel_weight: float = 0.2
    decoder_mel_weight: float = 1.0
    commitment_weight: float = 0.25
    snapshot_seconds: float = 200.0
    seed: int = 0
    steps: int = later(0)
    kl_weight: float = later(1e-3)

    def __post_init__(self) -> None:
        check_training(self, ("cpu_seconds", "wall_seconds", "batch", "crop_frames", "learning_rate", "warmup_share"))


class SpectralTrainer(Trainer):
    """State of one run: the model, its moving average, the optimiser, and the clock.

    Subclasses say what stands between encoder and decoder (``bridge``).
    """

    codec: SpectralAutoencoder

    def __init__(self, config: CodecTraining) -> None:
        super().__init__(config)
        torch.manual_seed(seed_for(config.seed, "codec") % 2**63)
        self.config = config
        self.codec = build(config.model, "codec")
        self.average: SpectralAutoencoder = build(config.model, "codec").requires_grad_(False)
        self.average.load_state_dict(self.codec.state_dict())
        self.crop_samples = config.crop_frames * self.codec.frame_samples
        self.optimiser = torch.optim.AdamW(self.codec.parameters(), weight_decay=config.weight_decay, betas=(0.9, 0.99))

    def bridge(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms of the latents of (B, N), and the latents (B, T, D) that the decoder is to see."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor) -> None:
        """Set the codec's linear paths from example audio (B, N), before the first step."""
        self.codec.initialise(wav_BN)
        self.average.load_state_dict(self.codec.state_dict())

    def start(self, crops: Crops) -> None:
        """Principal components of 192 crops."""
        self.initialise(torch.cat([crops.batch(-1 - i, 16) for i in range(12)]))

    def set_phase(self) -> None:
        """Enter phase 2 when its time has come: go on from the averaged weights, decoder only."""
        if self.phase == "all" and self.progress >= 1 - self.config.decoder_share:
            self.phase = "decoder"
            self.codec.load_state_dict(self.average.state_dict())
            parameters = self.codec.decoder.parameters()
            self.optimiser = torch.optim.AdamW(parameters, weight_decay=self.config.weight_decay, betas=(0.9, 0.99))
        self.codec.encoder.requires_grad_(self.phase == "all")

    def learning_rate(self) -> float:
        """Warm-up then cosine to 2% within the current phase; phase 2 peaks at half the rate."""
        first, boundary = self.phase == "all", 1 - self.config.decoder_share
        start, end = (0.0, boundary) if first else (boundary, 1.0)
        done = min(1.0, (self.progress - start) / max(end - start, 1e-9))
        peak = self.config.learning_rate * (1.0 if first else 0.5)
        warm = min(1.0, (done + 1e-3) / self.config.warmup_share)
        return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update on crops (B, N); returns the loss terms."""
        learning_rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        terms = self._losses(wav_BN, self.generator())
        loss = torch.stack(list(terms.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for p in self.codec.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        self.optimiser.step()
        update_average(self.average, self.codec, self.config.ema, self.step)
        self.step += 1
        values = {name: round(term.item(), 5) for name, term in terms.items()}
        return {"loss": round(loss.item(), 5), **values, "grad_norm": round(norm.item(), 4), "lr": learning_rate}

    def _losses(self, wav_BN: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        config, codec = self.config, self.codec
        latent_terms, decoded_BTD = self.bridge(wav_BN, generator)
        spectra_BFC = codec.decode_spectra(decoded_BTD)
        estimate_BN = codec.spectrum.inverse(spectra_BFC)
        mel_weight = config.mel_weight if self.phase == "all" else config.decoder_mel_weight
        return {
            "snr": -config.snr_weight * snr(wav_BN, estimate_BN).mean(),
            "spectrum": config.spectrum_weight * nn.functional.l1_loss(spectra_BFC, codec.spectrum(wav_BN)),
            "mel": mel_weight * mel_loss(wav_BN, estimate_BN, codec.spec.sample_rate, self.step),
            **latent_terms,
        }

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See ``Trainer``."""
        tensors = {f"codec.{name}": t for name, t in self.codec.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        tensors |= {f"buffer.{name}": t for name, t in self.codec.named_buffers()}  # those outside state_dict too
        return self.clocks(), tensors | optimiser_tensors(self.optimiser, "optimiser.")

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """See ``Trainer``."""
        self.step, self.cpu_seconds, self.wall_seconds = state["step"], state["cpu_seconds"], state["wall_seconds"]
        self.average.load_state_dict(part(tensors, "average."))
        self.set_phase()
        self.codec.load_state_dict(part(tensors, "codec."))
        for name, tensor in part(tensors, "buffer.").items():
            self.codec.get_buffer(name).copy_(tensor)
        restore_optimiser(self.optimiser, tensors, "optimiser.")

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """In the format of ``load_codec``."""
        save_codec(self.average, folder, record)


class CodecTrainer(SpectralTrainer):
    """Trains a ``BuiltinCodec``."""

    codec: BuiltinCodec

    def __init__(self, config: CodecTraining) -> None:
        super().__init__(config)
        self._warm_latents: list[Tensor] = []

    @property
    def settled(self) -> bool:
        """Not while latents are gathered for the codebooks' set-up."""
        return self.step > self.config.quantiser_start

    def bridge(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Commitment; noisy continuous latents, and quantised ones for every second item."""
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


class VAETrainer(SpectralTrainer):
    """Trains a ``BuiltinVAE``."""

    codec: BuiltinVAE

    def bridge(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Divergence; a draw from the posterior."""
        mean_BTD, std_BTD = self.codec.posterior(wav_BN)
        terms = {}
        if self.phase == "all":
            terms["kl"] = 2 * self.config.kl_weight * gaussian_kl(mean_BTD, std_BTD).mean()
        return terms, mean_BTD + std_BTD * torch.randn(mean_BTD.shape, generator=generator)
