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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.config import later
from common.errors import UserError
from common.seeds import seed_for
from corpora import Corpus
from representations.codec import BuiltinCodec, BuiltinVAE, CodecConfig, SpectralAutoencoder, build
from representations.codec_losses import gaussian_kl, mel_loss, snr


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
        for name in ("cpu_seconds", "wall_seconds", "batch", "crop_frames", "learning_rate", "warmup_share"):
            if getattr(self, name) <= 0:
                raise UserError(f"codec training: {name} must be above 0, not {getattr(self, name)}")
        if self.steps < 0:
            raise UserError(f"codec training: steps must be 0 (a budget by the clock) or more, not {self.steps}")


class Crops:
    """Seeded random crops from several corpora, each drawn with its own probability; clips are kept as int16.

    Args:
        corpora: (corpus, weight) pairs; the weights need not sum to 1.
    """

    def __init__(self, corpora: Sequence[tuple[Corpus, float]], sample_rate: int, samples: int, seed: int) -> None:
        self.sample_rate, self.samples, self.seed = sample_rate, samples, seed
        self._clips = [corpus.clips("train") for corpus, _ in corpora]
        weights = np.array([weight for _, weight in corpora], dtype=float)
        self._chance = weights / weights.sum()
        self._audio: dict[tuple[int, int], np.ndarray] = {}

    def batch(self, step: int, size: int) -> Tensor:
        """The (B, N) crops of ``step``."""
        rng = np.random.default_rng(seed_for(self.seed, "crops", step))
        return torch.from_numpy(np.stack([self._draw(rng) for _ in range(size)]))

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        which = int(rng.choice(len(self._clips), p=self._chance))
        index = int(rng.integers(len(self._clips[which])))
        if (which, index) not in self._audio:
            audio = self._clips[which][index].audio(self.sample_rate)
            self._audio[which, index] = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
        audio = self._audio[which, index]
        start = int(rng.integers(max(1, len(audio) - self.samples + 1)))
        crop = audio[start : start + self.samples].astype(np.float32) / 32767
        return np.pad(crop, (0, self.samples - len(crop)))


class SpectralTrainer:
    """State of one run: the model, its moving average, the optimiser, and the clock.

    Subclasses say what stands between encoder and decoder (``bridge``).
    """

    codec: SpectralAutoencoder

    def __init__(self, config: CodecTraining) -> None:
        torch.manual_seed(seed_for(config.seed, "codec") % 2**63)
        self.config = config
        self.codec = build(config.model, "codec")
        self.average = build(config.model, "codec").requires_grad_(False)
        self.average.load_state_dict(self.codec.state_dict())
        self.optimiser = torch.optim.AdamW(self.codec.parameters(), weight_decay=config.weight_decay, betas=(0.9, 0.99))
        self.step, self.cpu_seconds, self.wall_seconds, self.phase = 0, 0.0, 0.0, "all"

    def bridge(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms of the latents of (B, N), and the latents (B, T, D) that the decoder is to see."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor) -> None:
        """Set the codec's linear paths from example audio (B, N), before the first step."""
        self.codec.initialise(wav_BN)
        self.average.load_state_dict(self.codec.state_dict())

    @property
    def progress(self) -> float:
        """Part of the budget that is used, 0 to 1 and beyond."""
        if self.config.steps:
            return self.step / self.config.steps
        return max(self.cpu_seconds / self.config.cpu_seconds, self.wall_seconds / self.config.wall_seconds)

    @property
    def settled(self) -> bool:
        """Whether a checkpoint would say everything."""
        return True

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
        generator = torch.Generator().manual_seed(seed_for(self.config.seed, "step", self.step))
        learning_rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        terms = self._losses(wav_BN, generator)
        loss = torch.stack(list(terms.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for p in self.codec.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        self.optimiser.step()
        self._update_average()
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

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.codec.parameters()):
            mean.lerp_(value, 1 - decay)
        for name, buffer in self.codec.named_buffers():
            self.average.get_buffer(name).copy_(buffer)

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """(JSON-ready state, tensors) from which ``restore`` goes on."""
        tensors = {f"codec.{name}": t for name, t in self.codec.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        tensors |= {f"buffer.{name}": t for name, t in self.codec.named_buffers()}  # those outside state_dict too
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        clocks = {"cpu_seconds": self.cpu_seconds, "wall_seconds": self.wall_seconds}
        return {"step": self.step, "phase": self.phase, **clocks}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from what ``checkpoint`` returned; call it before the first step."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.step, self.cpu_seconds, self.wall_seconds = state["step"], state["cpu_seconds"], state["wall_seconds"]
        self.average.load_state_dict(part("average."))
        self.set_phase()
        self.codec.load_state_dict(part("codec."))
        for name, tensor in part("buffer.").items():
            self.codec.get_buffer(name).copy_(tensor)
        optimiser = self.optimiser.state_dict()
        for name, tensor in part("optimiser.").items():
            index, _, key = name.partition(".")
            optimiser["state"].setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict(optimiser)


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


def trainer_for(config: CodecTraining) -> SpectralTrainer:
    """A new run of the recipe ``config``."""
    return CodecTrainer(config) if config.model.codebooks else VAETrainer(config)
