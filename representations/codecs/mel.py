"""Log-mel spectrograms, the two ways from them to a waveform, and log-mel frames as a representation.

The front-end is that of AudioLDM (Liu et al. 2023; its training code, ``AudioLDM-training-finetuning``) and of the
papers built on it (Yang et al. 2025, appendix F.1; Huang et al. 2025, section 4.2): 16 kHz, Hann windows of 1024, hop
160 (100 frames per second), 64 bands on Slaney's mel scale, area-normalised, from 0 to 8 kHz, of MAGNITUDES; natural
log, floored at 1e-5. The waveform is reflected by (1024 - 160) / 2 samples at both ends, so that frame t is centred on
samples 160 t to 160 (t + 1) and N samples make exactly N / 160 frames. AudioLDM also scales every clip to a peak of
0.5. That is left out here, since a latent must hold everything that the decoder needs.

``HifiGan`` is AudioLDM's vocoder (Kong et al. 2020), transformers' ``SpeechT5HifiGan`` in the sub-folder ``vocoder`` of
its pipelines. ``GriffinLim`` needs no weights: magnitudes that fit the mel bands are found by non-negative least
squares (multiplicative updates, Lee and Seung 2001), then the phase by fast Griffin-Lim (Perraudin et al. 2013). It
always starts from the same phase, so a clip sounds the same alone and in a batch.

The representation ``mel`` has the frames themselves as latents. What it loses, the mel-VAE (``mel_vae.py``) loses
before its first layer, so it is an upper limit of everything built on log-mels.

    load_representation("mel")               64 bands, Griffin-Lim
    load_representation("mel:128@2048")      128 bands from windows of 2048
    load_representation("mel:/models/audioldm")   64 bands, the vocoder of a pipeline's folder (or a vocoder's own)
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...common.config import to_dict
from ...common.errors import UserError
from ..base import Representation, fingerprint, fit_length, last_part, load_part
from ..spec import LatentSpec
from .networks import overlap_add

PHASE_STEPS, MOMENTUM = 32, 0.99  # of Griffin-Lim, librosa's defaults
MAGNITUDE_STEPS = 128  # of the least squares that find magnitudes


@dataclass(frozen=True)
class MelConfig:
    """Sizes in samples; the defaults are AudioLDM's."""

    sample_rate: int = 16_000
    n_fft: int = 1024
    hop: int = 160
    bins: int = 64
    floor: float = 1e-5


class Frames(nn.Module):
    """Short-time spectra with exactly one frame per hop, and their inverse.

    The inverse is overlap-add weighted by the window and divided by the sum of its squares: the signal whose spectra
    are closest to those given (Griffin and Lim 1984, eq. 6).
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank  # transformers is slow to import

        self.config, self.edge = config, (config.n_fft - config.hop) // 2
        bank_FM = mel_filter_bank(
            config.n_fft // 2 + 1, config.bins, 0.0, config.sample_rate / 2, config.sample_rate, "slaney", "slaney"
        )
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(bank_FM).float(), persistent=False)

    def spectra(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to complex spectra (B, N / hop, F); a clip too short to reflect is padded with zeros."""
        mode = "reflect" if wav_BN.shape[-1] > self.edge else "constant"
        padded_BN = nn.functional.pad(wav_BN[:, None], (self.edge, self.edge), mode=mode)[:, 0]
        n_fft, hop = self.config.n_fft, self.config.hop
        return torch.stft(padded_BN, n_fft, hop, window=self.window, center=False, return_complex=True).mT

    def waveform(self, spectra_BTF: Tensor) -> Tensor:
        """Complex spectra (B, T, F) to the nearest waveform (B, T * hop)."""
        frames_BTn = torch.fft.irfft(spectra_BTF, self.config.n_fft) * self.window
        weights_1Tn = self.window.square().expand(1, spectra_BTF.shape[1], -1)
        weight_1N = overlap_add(weights_1Tn, self.config.hop).clamp_min(1e-8)
        return overlap_add(frames_BTn, self.config.hop) / weight_1N

    def log_mel(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to log-mel frames (B, N / hop, M)."""
        return (self.spectra(wav_BN).abs() @ self.filters).clamp_min(self.config.floor).log()


class Vocoder(nn.Module):
    """Log-mel (B, T, M) to waveform (B, T * hop).

    Attributes:
        identity: everything besides the weights that decides the result, for fingerprints.
    """

    identity: str

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        raise NotImplementedError


class GriffinLim(Vocoder):
    """Estimates the phase; it has no weights."""

    identity = f"griffin-lim {PHASE_STEPS} {MOMENTUM} {MAGNITUDE_STEPS}"

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.frames = Frames(config)

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        magnitude_BTF = self.magnitudes(mel_BTM)
        generator = torch.Generator().manual_seed(0)
        angle_TF = 2 * math.pi * torch.rand(magnitude_BTF.shape[1:], generator=generator)
        phase_BTF = torch.polar(torch.ones_like(angle_TF), angle_TF).to(mel_BTM.device)[None]
        before = torch.zeros_like(phase_BTF)
        for _ in range(PHASE_STEPS):
            rebuilt_BTF = self.frames.spectra(self.frames.waveform(magnitude_BTF * phase_BTF))
            ahead_BTF = rebuilt_BTF - MOMENTUM / (1 + MOMENTUM) * before
            phase_BTF, before = ahead_BTF / ahead_BTF.abs().clamp_min(1e-12), rebuilt_BTF
        return self.frames.waveform(magnitude_BTF * phase_BTF)

    def magnitudes(self, mel_BTM: Tensor) -> Tensor:
        """Non-negative magnitudes (B, T, F) whose mel bands are closest to those of ``mel_BTM``."""
        bank_FM = self.frames.filters
        wanted_BTF = mel_BTM.exp() @ bank_FM.mT
        found_BTF = wanted_BTF.clone()
        for _ in range(MAGNITUDE_STEPS):
            found_BTF = found_BTF * wanted_BTF / ((found_BTF @ bank_FM) @ bank_FM.mT).clamp_min(1e-12)
        return found_BTF


class HifiGan(Vocoder):
    """A frozen ``SpeechT5HifiGan``."""

    identity = "hifi-gan"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        wav_BN: Tensor = self.model(mel_BTM)
        return wav_BN


def load_vocoder(source: str, mel: MelConfig) -> HifiGan:
    """Load the vocoder of a folder (its sub-folder ``vocoder``, or the folder itself) or of a hub id (its sub-folder).

    Raises:
        UserError: there is no vocoder, or it was made for other log-mels than ``mel``.
    """
    from transformers import SpeechT5HifiGan  # transformers is slow to import

    model = load_part(SpeechT5HifiGan, source, "vocoder", "HiFi-GAN vocoder")
    config = model.config
    made_for = (config.model_in_dim, config.sampling_rate, math.prod(config.upsample_rates))
    if made_for != (mel.bins, mel.sample_rate, mel.hop):
        raise UserError(
            f"{source}: its vocoder reads {made_for[0]} mel bands at {made_for[1]} Hz with hop {made_for[2]}, the mel "
            f"has {mel.bins} at {mel.sample_rate} Hz with hop {mel.hop}; take AudioLDM's, or guess the phase by "
            "the representation mel or mel_vae:SOURCE@griffin-lim"
        )
    return HifiGan(model)


class Mel(Representation):
    """Log-mel frames as latents; ``vocoder`` turns them into a waveform."""

    def __init__(self, config: MelConfig, vocoder: Vocoder, name: str) -> None:
        super().__init__()
        self.frames, self.vocoder = Frames(config), vocoder
        rate, hop = config.sample_rate, config.hop
        self.spec = LatentSpec(name, rate, rate / hop, config.bins)
        self.fingerprint = fingerprint(self, {"class": "mel", "mel": to_dict(config), "phase": vocoder.identity})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> log-mel frames (B, T, M); N is cropped or zero-padded to T * hop samples."""
        return self.frames.log_mel(self.whole_frames(wav_BN))

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Log-mel frames (B, T, M) -> waveform (B, T * hop)."""
        wav_BN: Tensor = self.vocoder(z_BTD)
        return fit_length(wav_BN, z_BTD.shape[1] * self.frames.config.hop)


def load_mel(argument: str) -> Mel:
    """Load ``mel``.

    Args:
        argument: ``""``, ``"<bands>@<window>"``, or a folder or hub id with a vocoder.

    Raises:
        UserError: sizes that are out of range, no vocoder there, or one that does not fit.
    """
    sizes = re.fullmatch(r"(\d+)@(\d+)", argument)
    config = MelConfig()
    if sizes:
        bins, n_fft = int(sizes[1]), int(sizes[2])
        if not (2 <= bins <= n_fft // 4 and n_fft % 2 == 0 and n_fft >= 2 * config.hop):
            raise UserError(
                f"mel:{argument}: give BANDS@WINDOW with an even window of {2 * config.hop} samples or more and at "
                "most a quarter as many bands, for example mel:128@2048"
            )
        config = dataclasses.replace(config, bins=bins, n_fft=n_fft)
    if sizes or not argument:
        return Mel(config, GriffinLim(config), f"mel:{argument}" if argument else "mel")
    return Mel(config, load_vocoder(argument, config), f"mel:{last_part(argument)}")
