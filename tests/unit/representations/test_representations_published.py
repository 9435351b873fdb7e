"""EnCodec and Oobleck wrappers against the libraries' own encode and decode, with small random models from disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from paradigm_bench.common.errors import UserError
from paradigm_bench.representations import load_representation

ENCODEC = {"num_filters": 4, "hidden_size": 8, "codebook_size": 16, "upsampling_ratios": [4, 4], "num_lstm_layers": 1}


def saved_encodec(folder: Path, **changes: object) -> EncodecModel:
    """A random EnCodec with 6 codebooks (16 kHz, hop 16), saved to ``folder``."""
    torch.manual_seed(0)
    config = EncodecConfig(**{**ENCODEC, "sampling_rate": 16000, "target_bandwidths": [4.0, 24.0], **changes})
    model = EncodecModel(config).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_(std=0.1)
    model.save_pretrained(folder)
    return model


def test_encodec_equals_transformers(tmp_path: Path) -> None:
    model = saved_encodec(tmp_path)
    wrapped = load_representation(f"encodec:{tmp_path}@6")
    assert (wrapped.spec.frame_rate_hz, wrapped.spec.dim, wrapped.spec.codebooks) == (1000.0, 8, 6)
    wav_BN = 0.3 * torch.randn(2, 1600)
    with torch.no_grad():
        theirs = model.encode(wav_BN[:, None], bandwidth=24.0)
        codes_BKT = wrapped.quantise(wrapped.encode(wav_BN))
        assert (codes_BKT == theirs.audio_codes[0]).float().mean() > 0.98  # entries may be equally near
        decoded_BN = model.decode(theirs.audio_codes, theirs.audio_scales).audio_values[:, 0, :1600]
    torch.testing.assert_close(wrapped.decode(wrapped.dequantise(theirs.audio_codes[0])), decoded_BN)


def test_encodec_uses_four_codebooks_unless_told(tmp_path: Path) -> None:
    saved_encodec(tmp_path)
    four, six = load_representation(f"encodec:{tmp_path}"), load_representation(f"encodec:{tmp_path}@6")
    z_BTD = six.encode(0.3 * torch.randn(1, 330))  # 20.6 frames
    assert z_BTD.shape[1] == 21
    assert torch.equal(four.quantise(z_BTD), six.quantise(z_BTD)[:, :4])
    assert four.fingerprint != six.fingerprint
    with pytest.raises(UserError, match="1 to 6"):
        load_representation(f"encodec:{tmp_path}@7")


def test_stereo_encodec_hears_mono_twice(tmp_path: Path) -> None:
    model = saved_encodec(tmp_path, audio_channels=2)
    wrapped = load_representation(f"encodec:{tmp_path}")
    wav_BN = 0.3 * torch.randn(2, 160)
    z_BTD = wrapped.encode(wav_BN)
    with torch.no_grad():
        torch.testing.assert_close(z_BTD.mT, model.encoder(wav_BN[:, None].repeat(1, 2, 1)))
        torch.testing.assert_close(wrapped.decode(z_BTD), model.decoder(z_BTD.mT.contiguous()).mean(1))


def test_the_chunked_normalised_encodec_is_refused(tmp_path: Path) -> None:
    saved_encodec(tmp_path, normalize=True, chunk_length_s=1.0, overlap=0.01)
    with pytest.raises(UserError, match="not supported"):
        load_representation(f"encodec:{tmp_path}")


@pytest.mark.parametrize("channels", [1, 2])
def test_oobleck_equals_diffusers(tmp_path: Path, channels: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    model = diffusers.AutoencoderOobleck(
        encoder_hidden_size=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2], decoder_channels=8,
        decoder_input_channels=4, audio_channels=channels, sampling_rate=16000,
    ).eval()  # fmt: skip
    model.save_pretrained(tmp_path)
    wrapped = load_representation(f"oobleck:{tmp_path}")
    wav_BN = 0.3 * torch.randn(2, 400)
    z_BTD = wrapped.encode(wav_BN)
    assert (wrapped.spec.frame_rate_hz, z_BTD.shape) == (2000.0, (2, 50, 4))
    with torch.no_grad():
        posterior = model.encode(wav_BN[:, None].repeat(1, channels, 1)).latent_dist
        torch.testing.assert_close(z_BTD.mT, posterior.mean)
        theirs_BN = model.decode(posterior.mean).sample.mean(1)
    torch.testing.assert_close(wrapped.decode(z_BTD), theirs_BN)
    with pytest.raises(UserError, match="no codebooks"):
        wrapped.quantise(z_BTD)


@pytest.mark.parametrize("spec", ["encodec:/nowhere/at/all", "oobleck:", "encodec:./nowhere"])
def test_missing_weights_are_one_line_errors(spec: str) -> None:
    with pytest.raises(UserError, match="give a folder") as caught:
        load_representation(spec)
    assert "\n" not in str(caught.value)
