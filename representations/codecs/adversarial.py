"""Training of the full-size codecs of Tal et al. 2025, appendix E: EnCodec and VAE-GAN, with a discriminator.

Both families convolve the waveform. They differ in what is between encoder and decoder, and in the open-source recipe
that their loss weights follow (the paper states no weights):

    encodec   transformers' EncodecModel, 4 codebooks of 2048 learnt by ``networks.ResidualQuantiser``, always
              quantised; weights and balancer of audiocraft: wave 0.1, mel 2, adversarial 4, features 4; commitment 1
    vae       diffusers' AutoencoderOobleck (Snake), a draw from the posterior; weights of stable-audio-tools, summed
              and not balanced: mel 1, adversarial 0.1, features 5; divergence 1e-3, of twice the nats as there

The paper states: AdamW at 3e-4, batches of 64 segments of about 1 s, 400,000 steps, 32 kHz. One update trains the
discriminator on the model's output, then the model. Commitment and divergence act on latents, not on the output, so
the balancer does not scale them. Differences from the paper: transformers' EnCodec has ELU where the paper's table has
GELU, and mel distances replace the STFT distances of stable-audio-tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...common.errors import UserError
from ...common.files import write_json, write_tensors, write_text
from ...common.seeds import seed_for
from .losses import (
    Balancer,
    MultiScaleDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    gaussian_kl,
    gradients_at,
    multi_mel_distance,
)
from .networks import ResidualQuantiser
from .trainer import CodecRecipe, CodecTrainer, update_average
from .waveform import Encodec, Oobleck, WaveModel, config_text, encodec_model, oobleck_model


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses on the output; with the balancer, shares of the gradient."""

    wave: float = 0.1
    mel: float = 2.0
    adversarial: float = 4.0
    features: float = 4.0


@dataclass(frozen=True)
class AdversarialRecipe(CodecRecipe):
    """Settings of the training.

    Args:
        crop_seconds: length of a segment, rounded to whole latent frames.
        balance: whether the balancer scales gradients; without it the weighted losses are summed.
        latent_weight: weight of the commitment, or of the divergence (alpha_KL).
        windows: window lengths of the discriminator's scales, samples.
        filters: channels of the discriminator.
        mel_windows: window lengths of the mel distance, samples.
    """

    model: WaveModel
    _: KW_ONLY
    losses: LossWeights = LossWeights()
    balance: bool = True
    latent_weight: float = 1.0
    steps: int = 400_000
    batch: int = 64
    crop_seconds: float = 1.0
    learning_rate: float = 3e-4
    betas: tuple[float, ...] = (0.5, 0.9)
    weight_decay: float = 0.0
    ema: float = 0.99
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    filters: int = 32
    mel_windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    snapshot_seconds: float = 1800.0

    def __post_init__(self) -> None:
        self.check("crop_seconds", "filters")
        if len(self.betas) != 2:
            raise UserError(f"codec training: betas must be two numbers, not {len(self.betas)}")
        longest = max((*self.windows, *self.mel_windows), default=0)
        if not self.windows or not self.mel_windows or longest > self.crop_seconds * self.model.sample_rate:
            raise UserError(
                f"codec training: windows of up to {longest} samples; give at least one of each kind, and none longer "
                f"than the segments' {self.crop_seconds * self.model.sample_rate:.0f}"
            )

    def trainer(self) -> AdversarialTrainer:
        """The trainer for the model family of this recipe."""
        return EncodecTrainer(self) if self.model.family == "encodec" else OobleckTrainer(self)


class AdversarialTrainer(CodecTrainer):
    """State of one run; subclasses build the model and reconstruct a batch.

    Attributes:
        weights_file: name of the file of weights, as ``save_pretrained`` of the model's library calls it.
        family: the representation's name in ``load_representation``.
    """

    average: Encodec | Oobleck
    weights_file = ""
    family = ""

    def __init__(self, config: AdversarialRecipe) -> None:
        super().__init__(config)
        torch.manual_seed(seed_for(config.seed, "codec") % 2**63)
        self.config, self.device = config, _device(config.device)
        self.model: Any = self.build().model.to(self.device).train().requires_grad_(True)
        self.average = self.build().to(self.device)
        self.average_model: Any = self.average.model
        self.average_model.load_state_dict(self.model.state_dict())
        self.discriminator = MultiScaleDiscriminator(config.windows, config.filters).to(self.device)
        self.balancer = Balancer(vars(config.losses))
        self.optimiser = self._optimiser(self.model)
        self.discriminator_optimiser = self._optimiser(self.discriminator)
        self.modules = {"model.": self.model, "average.": self.average_model, "discriminator.": self.discriminator}
        self.optimisers = {"optimiser.": self.optimiser, "discriminator_optimiser.": self.discriminator_optimiser}
        self.crop_samples = max(1, round(config.crop_seconds * config.model.frame_rate_hz)) * config.model.hop

    def build(self) -> Encodec | Oobleck:
        """A frozen representation, whose attribute ``model`` is a new model."""
        raise NotImplementedError

    def reconstruct(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Segments (B, N) -> the loss on latents (a scalar), and the output (B, n) with n <= N."""
        raise NotImplementedError

    def _optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(
            module.parameters(), config.learning_rate, (config.betas[0], config.betas[1]),
            weight_decay=config.weight_decay,
        )  # fmt: skip

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update of the discriminator, then one of the model; ``loss`` is the weighted sum of the model's."""
        wav_BN = wav_BN.to(self.device)
        latent_loss, estimate_BN = self.reconstruct(wav_BN, self.generator())
        wav_BN = wav_BN[:, : estimate_BN.shape[1]]
        hinge = self._train_discriminator(wav_BN, estimate_BN.detach())
        losses = self._losses(wav_BN, estimate_BN)
        self.optimiser.zero_grad(set_to_none=True)
        gradient_BN = self._gradient(losses, estimate_BN)
        torch.autograd.backward([estimate_BN, self.config.latent_weight * latent_loss], [gradient_BN, None])
        self.optimiser.step()
        self.update_model()
        update_average(self.average_model, self.model, self.config.ema, self.step)
        self.step += 1
        weighted = sum(weight * losses[name].item() for name, weight in self.balancer.weights.items())
        values = {**losses, "latent": latent_loss, "discriminator": hinge}
        return {
            "loss": round(weighted + self.config.latent_weight * latent_loss.item(), 5),
            **{name: round(value.item(), 5) for name, value in values.items()},
        }

    def _train_discriminator(self, wav_BN: Tensor, estimate_BN: Tensor) -> Tensor:
        loss = discriminator_loss(self.discriminator(wav_BN), self.discriminator(estimate_BN))
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.discriminator_optimiser.step()
        return loss.detach()

    def _losses(self, wav_BN: Tensor, estimate_BN: Tensor) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(False)
        real, fake = self.discriminator(wav_BN), self.discriminator(estimate_BN)
        self.discriminator.requires_grad_(True)
        return {
            "wave": nn.functional.l1_loss(estimate_BN, wav_BN),
            "mel": multi_mel_distance(wav_BN, estimate_BN, self.config.model.sample_rate, self.config.mel_windows),
            "adversarial": adversarial_loss(fake),
            "features": feature_loss(real, fake),
        }

    def _gradient(self, losses: Mapping[str, Tensor], estimate_BN: Tensor) -> Tensor:
        if self.config.balance:
            return self.balancer.gradient(losses, estimate_BN)
        total = torch.stack([weight * losses[name] for name, weight in self.balancer.weights.items()]).sum()
        return gradients_at(estimate_BN, {"total": total})["total"]

    def update_model(self) -> None:
        """Copy into the model what is learnt outside it, after each step."""

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See ``CodecTrainer``; with the balancer's moving averages."""
        state, tensors = super().checkpoint()
        return {**state, "balancer": self.balancer.state()}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """See ``CodecTrainer``; with the balancer's moving averages."""
        super().restore(state, tensors)
        self.balancer.restore(state["balancer"])

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write the averaged model as ``save_pretrained`` does, and ``training.json``."""
        write_tensors(folder / self.weights_file, self.average_model.state_dict(), {"format": "pt"})
        write_text(folder / "config.json", config_text(self.average_model))
        write_json(folder / "training.json", record)

    def reference(self, folder: Path) -> str:
        """``encodec:FOLDER`` or ``oobleck:FOLDER``."""
        return f"{self.family}:{folder}"


class EncodecTrainer(AdversarialTrainer):
    """Trains an EnCodec."""

    weights_file, family = "model.safetensors", "encodec"

    def __init__(self, config: AdversarialRecipe) -> None:
        super().__init__(config)
        model = config.model
        self.quantiser = ResidualQuantiser(model.codebooks, model.cardinality, model.dim).to(self.device)
        self.buffers = {"quantiser.": self.quantiser}  # the codebooks' moving averages

    def build(self) -> Encodec | Oobleck:
        """A new EnCodec."""
        return Encodec(encodec_model(self.config.model), self.family, self.config.model.codebooks)

    def reconstruct(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The commitment, and the output from quantised latents (gradients straight through)."""
        model = self.model
        z_BTD = model.encoder(wav_BN[:, None]).mT
        fixed_BTD = z_BTD.detach()
        if self.step == 0:
            self.quantiser.initialise(fixed_BTD.flatten(0, 1), generator)
        z_hat_BTD = self.quantiser.dequantise(self.quantiser.quantise(fixed_BTD))
        self.quantiser.update(fixed_BTD, generator)
        straight_BTD = z_BTD + z_hat_BTD - fixed_BTD
        output_BN = model.decoder(straight_BTD.mT.contiguous())[:, 0, : wav_BN.shape[1]]
        return (z_BTD - z_hat_BTD).square().mean(), output_BN

    def update_model(self) -> None:
        """Copy the trained codebooks into the EnCodec model."""
        for layer, entries_CD in zip(self.model.quantizer.layers, self.quantiser.codebooks_KCD):
            layer.codebook.embed.copy_(entries_CD)


class OobleckTrainer(AdversarialTrainer):
    """Trains a VAE-GAN."""

    weights_file, family = "diffusion_pytorch_model.safetensors", "oobleck"

    def build(self) -> Encodec | Oobleck:
        """A new Oobleck VAE."""
        return Oobleck(oobleck_model(self.config.model), self.family)

    def reconstruct(self, wav_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Twice the divergence in nats per frame, and the output from a draw of the posterior."""
        posterior = self.model.encode(wav_BN[:, None]).latent_dist
        noise_BDT = torch.randn(posterior.mean.shape, generator=generator).to(self.device)
        output_BN = self.model.decode(posterior.mean + posterior.std * noise_BDT).sample[:, 0, : wav_BN.shape[1]]
        return 2 * gaussian_kl(posterior.mean.mT, posterior.std.mT).mean(), output_BN


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("codec training: device is cuda, but there is no GPU; set device to auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
