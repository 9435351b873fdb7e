"""AudioLDM's mel-VAE through diffusers: the latents of Yang et al. 2025 (AudioMNTP) and Huang et al. 2025 (IMPACT).

A log-mel spectrogram (``mel.py``, 100 frames per second x 64 bands) goes through ``AutoencoderKL``, which shortens both
axes by 4: 8 channels x T / 4 x 16. Patches of 4 x 4 of these are the tokens: 128 numbers each, 4 tokens for every 160
ms, from the lowest to the highest quarter of the bands, so 25 tokens per second. The sequence runs through the bands
first, then through time ("row-major", Yang et al. 2025, appendix F.1): token i covers the 160 ms i // 4 and the quarter
i % 4 of the bands. A patch is flattened by channel, then time, then band. 10.24 s make the papers' 256 tokens. Their
clips of 10 s would be 62.5 times 160 ms; they are padded there to 10.24 s, and rounded here to 62 times 160 ms
(``LatentSpec.group`` = 4): 248 tokens, 9.92 s.

Four tokens per 160 ms (a moment) have these consequences:

- training crops and inpainted spans begin and end with a moment, so a span is all bands of a multiple of 160 ms;
- a control's value for token i is that of the time (i + 0.5) / 25 s, which lies inside the token's moment: the four
  tokens of a moment carry the control's values in its four quarters;
- a causal paradigm sees the low bands of a moment before it predicts the high ones.

The latent is the posterior's mean, so that encoding is deterministic. AudioLDM's scaling factor is left out, since
latents are normalised over the corpus (``representations.latents.normalisation``).

    load_representation("mel_vae:cvssp/audioldm")          hub id or folder of a pipeline: vae/ and vocoder/
    load_representation("mel_vae:/models/audioldm@griffin-lim")   Griffin-Lim instead of the vocoder
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from ...common.config import to_dict
from ...common.errors import UserError
from ...common.lines import count
from ..base import Representation, fingerprint, fit_length, last_part, load_part
from ..spec import LatentSpec
from .mel import Frames, GriffinLim, MelConfig, Vocoder, load_vocoder

PATCH = 4  # latents on either side of a token
NO_VOCODER = "@griffin-lim"


class MelVae(Representation):
    """A frozen ``AutoencoderKL`` over log-mels, and a vocoder.

    Args:
        vae: the diffusers model.
        vocoder: log-mel (B, T, M) -> waveform (B, T * hop).
        name: for records.

    Raises:
        UserError: a VAE for images, or one whose latents do not divide into patches of the mel's bands.
    """

    def __init__(self, vae: Any, vocoder: Vocoder, mel: MelConfig, name: str) -> None:
        super().__init__()
        config = vae.config
        shrunk = 2 ** (len(config.block_out_channels) - 1)
        if config.in_channels != 1 or mel.bins % (shrunk * PATCH):
            raise UserError(
                f"{name}: a VAE of {count(config.in_channels, 'channel')} that shortens by {shrunk} makes no "
                f"{PATCH} x {PATCH} patches of {mel.bins} mel bands; give AudioLDM's AutoencoderKL"
            )
        self.vae, self.vocoder, self.frames = vae, vocoder, Frames(mel)
        self.bands = mel.bins // (shrunk * PATCH)
        self.hop = shrunk * PATCH * mel.hop  # samples in a moment
        rate = self.bands * mel.sample_rate / self.hop
        self.spec = LatentSpec(name, mel.sample_rate, rate, config.latent_channels * PATCH**2, group=self.bands)
        self.fingerprint = fingerprint(self, {"class": "mel_vae", "mel": to_dict(mel), "phase": vocoder.identity})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> tokens (B, T, D) of the posterior's mean; N is cropped or zero-padded to whole moments."""
        mel_BTM = self.frames.log_mel(self.whole_frames(wav_BN))
        map_BCtf = self.vae.encode(mel_BTM[:, None]).latent_dist.mode()
        patches_BCtpfq = map_BCtf.unflatten(3, (self.bands, PATCH)).unflatten(2, (-1, PATCH))
        tokens_BTD: Tensor = patches_BCtpfq.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return tokens_BTD

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Tokens (B, T, D) of whole moments -> waveform (B, T / 4 * 2560).

        Raises:
            UserError: T is not a multiple of the tokens of a moment.
        """
        if z_BTD.shape[1] % self.bands:
            raise UserError(f"{self.spec.name}: {count(z_BTD.shape[1], 'token')}; {self.bands} at a time make a moment")
        patches_BtfCpq = z_BTD.reshape(len(z_BTD), -1, self.bands, z_BTD.shape[2] // PATCH**2, PATCH, PATCH)
        map_BCtf = patches_BtfCpq.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        mel_BTM = self.vae.decode(map_BCtf).sample[:, 0]
        wav_BN: Tensor = self.vocoder(mel_BTM)
        return fit_length(wav_BN, z_BTD.shape[1] // self.bands * self.hop)


def load_mel_vae(argument: str) -> MelVae:
    """Load ``mel_vae``.

    Args:
        argument: ``"<folder or hub id>"``, or the same with ``"@griffin-lim"``. A folder is a pipeline's (``vae/`` and,
            if there is one, ``vocoder/``) or the VAE's own.

    Raises:
        UserError: diffusers is not installed, weights cannot be found, or VAE or vocoder do not fit the mel.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise UserError("mel_vae needs diffusers; install it with: pip install 'paradigm-bench[vae]'") from error
    source, guessed, mel = argument.removesuffix(NO_VOCODER), argument.endswith(NO_VOCODER), MelConfig()
    vae = load_part(AutoencoderKL, source, "vae", "AudioLDM VAE")
    folder = Path(source).expanduser()
    if not guessed and folder.is_dir() and not (folder / "vocoder").is_dir():
        print(f"note: {source} holds no vocoder/; the phase is guessed (Griffin-Lim)", file=sys.stderr)
        guessed = True
    vocoder = GriffinLim(mel) if guessed else load_vocoder(source, mel)
    return MelVae(vae, vocoder, mel, f"mel_vae:{last_part(source)}{NO_VOCODER * guessed}")
