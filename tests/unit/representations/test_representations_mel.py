"""Log-mels against librosa's, the phase guessed, the mel-VAE against diffusers; small random models from disk."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from training_toys import SPEC, ToyText
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from paradigm_bench.benchmarks.axes.inpainting.fill import drawn_spans, span_between
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.codecs.losses import log_mel_distance
from paradigm_bench.representations.codecs.mel import Frames, MelConfig
from paradigm_bench.representations.latents.encoded import encode_corpus
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.training.data import BatchStream

RATE = 16_000


def chord(seconds: float = 0.96) -> torch.Tensor:
    t = torch.arange(round(seconds * RATE)) / RATE
    return (0.2 * sum(torch.sin(2 * math.pi * hz * t) for hz in (220.0, 277.2, 329.6, 1760.0)))[None].float()


def saved_pipeline(folder: Path, vocoder: dict[str, object] | None = None, **changes: object) -> Path:
    """A random AudioLDM-like pipeline: latents of 8 channels, a quarter as long and high as the mel."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    config = {
        "in_channels": 1, "out_channels": 1, "latent_channels": 8, "block_out_channels": (4, 4, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3,
        "norm_num_groups": 2, "layers_per_block": 1,
    }  # fmt: skip
    diffusers.AutoencoderKL(**{**config, **changes}).save_pretrained(folder / "vae")
    if vocoder is not None:
        made = {
            "model_in_dim": 64, "sampling_rate": RATE, "upsample_rates": [5, 4, 2, 2, 2],
            "upsample_kernel_sizes": [16, 16, 8, 4, 4], "upsample_initial_channel": 64, "normalize_before": False,
        }  # fmt: skip
        SpeechT5HifiGan(SpeechT5HifiGanConfig(**{**made, **vocoder})).save_pretrained(folder / "vocoder")
    return folder


def test_the_mel_is_librosas() -> None:
    wav_N = (chord() + 0.05 * torch.randn(1, 15360, generator=torch.Generator().manual_seed(0)))[0]
    padded_N = np.pad(wav_N.numpy(), (1024 - 160) // 2, mode="reflect")
    theirs_MT = librosa.feature.melspectrogram(
        y=padded_N, sr=RATE, n_fft=1024, hop_length=160, n_mels=64, power=1.0, center=False
    )
    ours_BTM = load_representation("mel").encode(wav_N[None])
    assert ours_BTM.shape == (1, 96, 64)
    np.testing.assert_allclose(ours_BTM[0].mT.numpy(), np.log(np.maximum(theirs_MT, 1e-5)), atol=2e-3)


def test_spectra_give_back_the_waveform() -> None:
    frames, wav_BN = Frames(MelConfig()), torch.randn(2, 4800, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(frames.waveform(frames.spectra(wav_BN)), wav_BN, atol=1e-4, rtol=0)


def test_a_guessed_phase_keeps_the_mel_and_is_the_same_in_any_batch() -> None:
    mel, wav_BN = load_representation("mel"), chord()
    back_BN = mel.decode(mel.encode(wav_BN))
    noise_BN = 0.2 * torch.randn(wav_BN.shape, generator=torch.Generator().manual_seed(2))
    assert float(log_mel_distance(wav_BN, back_BN, RATE)) < 0.2 * float(log_mel_distance(wav_BN, noise_BN, RATE))
    assert 0.5 < float(back_BN.square().mean() / wav_BN.square().mean()) < 2.0
    pair_BN = mel.decode(mel.encode(torch.cat([noise_BN, wav_BN])))
    torch.testing.assert_close(pair_BN[1:], back_BN, atol=1e-3, rtol=0)


def test_finer_mels_keep_more() -> None:
    coarse, fine, wav_BN = load_representation("mel"), load_representation("mel:128@2048"), chord()
    errors = [float(log_mel_distance(wav_BN, one.decode(one.encode(wav_BN)), RATE)) for one in (coarse, fine)]
    assert errors[1] < errors[0]
    assert coarse.fingerprint != fine.fingerprint
    with pytest.raises(UserError, match="give BANDS@WINDOW"):
        load_representation("mel:900@1024")


def test_the_mel_vae_is_diffusers_cut_into_patches(tmp_path: Path) -> None:
    """Token i: moment i // 4, band i % 4; in it channel, time, band (Yang et al. 2025 F.1, 10.24 s: 256 of 128)."""
    latents = load_representation(f"mel_vae:{saved_pipeline(tmp_path, vocoder={})}")
    assert (latents.spec.frame_rate_hz, latents.spec.dim, latents.spec.frames(10.24)) == (25.0, 128, 256)
    wav_BN = torch.cat([chord(), chord().flip(-1)])
    with torch.no_grad():
        mel_BTM = load_representation("mel").encode(wav_BN)
        map_BCtf = latents.vae.encode(mel_BTM[:, None]).latent_dist.mean  # type: ignore[union-attr, operator]
        z_BTD = latents.encode(wav_BN)
        assert map_BCtf.shape == (2, 8, 24, 16)
        assert z_BTD.shape == (2, 24, 128)
        token = z_BTD[1, 4 * 5 + 2].reshape(8, 4, 4)
        torch.testing.assert_close(token, map_BCtf[1, :, 20:24, 8:12])
        theirs = SpeechT5HifiGan.from_pretrained(tmp_path / "vocoder").eval()
        theirs_BN = theirs(latents.vae.decode(map_BCtf).sample[:, 0])  # type: ignore[union-attr, operator]
        torch.testing.assert_close(latents.decode(z_BTD), theirs_BN[:, :15360])
        torch.testing.assert_close(latents.encode(wav_BN[1:]), z_BTD[1:])  # alone as among others
    with pytest.raises(UserError, match="6 tokens; 4 at a time"):
        latents.decode(z_BTD[:, :6])


def test_sequences_crops_and_spans_hold_whole_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    latents = load_representation(f"mel_vae:{saved_pipeline(tmp_path)}")
    assert [latents.spec.frames(s) for s in (10.0, 1.0, 0.16, 0.01)] == [248, 24, 4, 0]
    assert latents.encode(chord(0.01)).shape[1] == 4
    assert span_between(0.3, 0.5, 1.0, latents.spec, "x").known.tolist() == [True] * 8 + [False] * 4 + [True] * 12
    spans = drawn_spans([f"c{i}" for i in range(20)], 4.0, 1.0, 0.5, latents.spec, "x")
    assert {span.start % 4 for span in spans} == {0}
    assert len({span.start for span in spans}) > 5
    corpus = load_corpus("builtin", clips=6, seconds=2.0)
    store = encode_corpus(corpus, latents, ("train",), progress=False)
    split = store.split("train")
    assert set(split.frames) == {48}
    text = type("Words", (ToyText,), {"encode": lambda self, c: ToyText.encode(self, ["1"] * len(c))})()
    stream = BatchStream(split, store.spec, text, dataclasses.replace(SPEC, seconds=1.0, batch=16))  # type: ignore[arg-type]
    starts = {item.start_frame for item in stream.plan(1)}
    assert {start % 4 for start in starts} == {0}
    assert len(starts) > 3
    assert LatentSpec("x", 16000, 25.0, 8).frames(0.5) == 12  # without groups nothing changes


@pytest.mark.parametrize(
    ("vocoder", "changes", "complaint"),
    [
        ({"model_in_dim": 80}, {}, "its vocoder reads 80 mel bands at 16000 Hz with hop 160, the mel has 64"),
        ({"sampling_rate": 22050}, {}, "64 mel bands at 22050 Hz"),
        ({"upsample_rates": [5, 4, 2, 2, 4]}, {}, "with hop 320"),
        ({}, {"in_channels": 3}, "a VAE of 3 channel"),
    ],
)
def test_what_does_not_fit_the_mel_is_one_line(
    tmp_path: Path, vocoder: dict[str, object], changes: dict[str, object], complaint: str
) -> None:
    folder = saved_pipeline(tmp_path, vocoder, **changes)
    with pytest.raises(UserError, match=complaint) as caught:
        load_representation(f"mel_vae:{folder}")
    assert "\n" not in str(caught.value)


def test_without_a_vocoder_the_phase_is_guessed_and_the_name_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guessed = load_representation(f"mel_vae:{saved_pipeline(tmp_path / 'a')}")
    assert "holds no vocoder/" in capsys.readouterr().err
    assert guessed.spec.name == "mel_vae:a@griffin-lim"
    assert guessed.decode(guessed.encode(chord())).shape == (1, 15360)
    both = saved_pipeline(tmp_path / "a", vocoder={})
    assert load_representation(f"mel_vae:{both}@griffin-lim").fingerprint == guessed.fingerprint
    assert load_representation(f"mel_vae:{both}").fingerprint != guessed.fingerprint
    assert load_representation(f"mel:{both}").decode(torch.zeros(1, 3, 64)).shape == (1, 480)
    assert "vocoder/" not in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["mel_vae:", "mel_vae:/nowhere/at/all", "mel:./nowhere"])
def test_missing_weights_are_named(spec: str) -> None:
    with pytest.raises(UserError, match="give a folder"):
        load_representation(spec)
