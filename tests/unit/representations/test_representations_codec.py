"""The built-in codec: spectra, quantiser, lengths, files, training; shipped weights are held to their own record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from paradigm_bench.benchmarks.cli.codec import app as codec_command
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.corpora.audio import read_audio, write_audio
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig, load_codec, save_codec
from paradigm_bench.representations.codecs.builtin_trainer import BuiltinCodecTrainer, BuiltinRecipe
from paradigm_bench.representations.codecs.losses import log_mel_distance, perplexity, si_snr, snr, spectral_losses
from paradigm_bench.representations.codecs.networks import ResidualQuantiser, Spectrum
from paradigm_bench.representations.codecs.recipes import recipe
from paradigm_bench.representations.codecs.trainer import Crops, evaluate_codec, parse_corpora, train_codec
from paradigm_bench.representations.spec import LatentSpec

SMALL = CodecConfig(width=24, encoder_blocks=1, decoder_blocks=1, dim=6, codebooks=3, cardinality=16)
WEIGHTS = Path(__file__).parents[3] / "representations" / "weights" / "codec_builtin"


def small_codec(seed: int = 0) -> BuiltinCodec:
    torch.manual_seed(seed)
    codec = BuiltinCodec(SMALL).eval().requires_grad_(False)
    for parameter in codec.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    codec.quantiser.codebooks_KCD.normal_()
    codec.refresh_fingerprint()
    return codec


def test_spectrum_is_the_stft_of_each_hop_and_inverts() -> None:
    spectrum = Spectrum(64, 16, compression=0.5)
    wav_BN = torch.randn(2, 160, generator=torch.Generator().manual_seed(0))
    s_BFC = spectrum(wav_BN)
    assert s_BFC.shape == (2, 10, 66)
    torch.testing.assert_close(spectrum.inverse(s_BFC), wav_BN, atol=1e-5, rtol=0)
    # Frame 5 by hand: 64 windowed samples centred on the middle of hop 5 (samples 80..95), i.e. 56..119.
    window = np.hanning(65)[:-1]
    x = np.fft.rfft(wav_BN[0, 56:120].numpy() * window) * 2 / window.sum()
    expected = x * np.abs(x) ** -0.5
    np.testing.assert_allclose(s_BFC[0, 5].numpy(), np.r_[expected.real, expected.imag], atol=1e-4)


def test_quantiser_takes_the_nearest_entry_level_by_level() -> None:
    quantiser = ResidualQuantiser(2, 5, 3)
    quantiser.codebooks_KCD.normal_(generator=torch.Generator().manual_seed(1))
    z_BTD = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(2))
    codes_BKT = quantiser.quantise(z_BTD)
    books = quantiser.codebooks_KCD.numpy()
    for b in range(2):
        for t in range(4):
            rest = z_BTD[b, t].numpy()
            for k in range(2):
                chosen = min(range(5), key=lambda j: float(((rest - books[k, j]) ** 2).sum()))
                assert codes_BKT[b, k, t] == chosen
                rest = rest - books[k, chosen]
            np.testing.assert_allclose(quantiser.dequantise(codes_BKT)[b, t], z_BTD[b, t].numpy() - rest, atol=1e-5)


def test_codes_survive_a_round_trip_when_levels_are_well_apart() -> None:
    quantiser = ResidualQuantiser(2, 4, 2)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    quantiser.codebooks_KCD.copy_(torch.stack([corners, corners / 4]))
    codes_BKT = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T[None]
    assert torch.equal(quantiser.quantise(quantiser.dequantise(codes_BKT)), codes_BKT)


def test_quantiser_learns_clusters_and_revives_dead_entries() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0], [0.0, -4.0]])
    z_MD = centres.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=generator)
    quantiser = ResidualQuantiser(1, 16, 2, decay=0.8)
    quantiser.initialise(z_MD, generator)
    quantiser.codebooks_KCD[0, 0] = quantiser.sums_KCD[0, 0] = torch.tensor([100.0, 100.0])  # nothing is near it
    for _ in range(60):
        quantiser.update(z_MD[None], generator)
    error = (quantiser.dequantise(quantiser.quantise(z_MD[None])) - z_MD).square().sum(-1).mean()
    assert error < 0.02  # that of the four centres alone
    assert quantiser.codebooks_KCD[0, 0].norm() < 5


@pytest.mark.parametrize(("samples", "frames"), [(640, 1), (6400, 10), (6500, 10), (6330, 10), (100, 1), (64000, 100)])
def test_any_length_becomes_whole_frames(samples: int, frames: int) -> None:
    codec = small_codec()
    z_BTD = codec.encode(torch.randn(1, samples))
    assert z_BTD.shape == (1, frames, SMALL.dim)
    assert codec.decode(z_BTD).shape == (1, frames * 640)
    assert codec.quantise(z_BTD).shape == (1, SMALL.codebooks, frames)


def test_a_clip_is_the_same_alone_and_in_a_batch() -> None:
    codec = small_codec()
    wav_BN = 0.1 * torch.randn(5, 6400)
    z_BTD = codec.encode(wav_BN)
    torch.testing.assert_close(codec.encode(wav_BN[3:4]), z_BTD[3:4], atol=1e-5, rtol=0)
    torch.testing.assert_close(codec.decode(z_BTD[3:4]), codec.decode(z_BTD)[3:4], atol=1e-5, rtol=0)


def test_saving_keeps_everything_and_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    codec = small_codec()
    save_codec(codec, tmp_path / "a", {"steps": 3})
    loaded = load_codec(tmp_path / "a")
    wav_BN = 0.1 * torch.randn(1, 1280)
    torch.testing.assert_close(loaded.encode(wav_BN), codec.encode(wav_BN), atol=1e-2, rtol=0)  # stored as float16
    save_codec(loaded, tmp_path / "b", {})
    again = load_representation(str(tmp_path / "b"))
    assert again.fingerprint == loaded.fingerprint
    assert torch.equal(again.encode(wav_BN), loaded.encode(wav_BN))
    loaded.quantiser.codebooks_KCD[0, 0, 0] += 1e-3
    loaded.refresh_fingerprint()
    assert again.fingerprint != loaded.fingerprint


def test_damaged_codecs_are_one_line_errors(tmp_path: Path) -> None:
    save_codec(small_codec(), tmp_path / "a", {})
    save_codec(small_codec(1), tmp_path / "b", {})
    (tmp_path / "a" / "codec.json").write_bytes((tmp_path / "b" / "codec.json").read_bytes())
    with pytest.raises(UserError, match="does not belong"):
        load_codec(tmp_path / "a")
    whole = (tmp_path / "b" / "codec.safetensors").read_bytes()
    (tmp_path / "b" / "codec.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="train it anew"):
        load_codec(tmp_path / "b")
    with pytest.raises(UserError, match="did you mean 'codec_builtin'"):
        load_representation("codec_bulitin")


def test_the_spec_counts_frames_and_normalises_back() -> None:
    spec = LatentSpec("x", 16000, 25.0, 4, mean=0.5, std=2.0)
    assert (spec.frames(4.0), spec.seconds(100)) == (100, 4.0)
    z = torch.tensor([0.5, 2.5])
    assert spec.normalise(z).tolist() == [0.0, 1.0]
    assert torch.equal(spec.denormalise(spec.normalise(z)), z)


def test_losses_by_hand() -> None:
    wav_BN = torch.sin(torch.arange(16000) * 0.1)[None]
    orthogonal_BN = torch.cos(torch.arange(16000) * 0.1)[None]
    assert snr(wav_BN, 0.9 * wav_BN).item() == pytest.approx(20.0, abs=0.02)  # error at a tenth of the amplitude
    assert si_snr(wav_BN, 3.0 * (wav_BN + 0.1 * orthogonal_BN)).item() == pytest.approx(20.0, abs=0.05)
    assert snr(torch.zeros(1, 100), torch.zeros(1, 100)).item() == 0.0
    quiet = log_mel_distance(wav_BN, wav_BN / np.e, 16000).item()
    assert 0 < quiet <= 1.0 + 1e-4  # a factor e is one nat wherever both are above the floor
    assert perplexity(torch.tensor([[0, 1, 2, 3], [2, 2, 2, 2]]), 4).tolist() == pytest.approx([4.0, 1.0])


def test_principal_components_beat_silence_before_any_training() -> None:
    clips = load_corpus("builtin", clips=4, seconds=2.0).clips("train")
    wav_BN = torch.from_numpy(np.stack([clip.audio(16000) for clip in clips]))
    codec = BuiltinCodec(CodecConfig(width=8, encoder_blocks=1, decoder_blocks=1))
    codec.initialise(wav_BN)
    with torch.no_grad():
        assert snr(wav_BN, codec.decode(codec.encode(wav_BN))).mean() > 2.0


def test_twenty_steps_lower_the_loss_and_a_run_resumes_exactly(tmp_path: Path) -> None:
    corpus = load_corpus("builtin", clips=4, seconds=2.0)
    config = BuiltinRecipe(SMALL, batch=4, crop_frames=16, quantiser_start=4, snapshot_seconds=1e9, cpu_seconds=1e6)
    crops = Crops([(corpus, 1.0)], 16000, 16 * 640, seed=0)
    trainer = BuiltinCodecTrainer(config)
    trainer.initialise(crops.batch(-1, 8))
    losses = [trainer.train_step(crops.batch(0, 4))["loss"] for _ in range(20)]
    assert losses[-1] < losses[4] < losses[0]
    state, tensors = trainer.checkpoint()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    resumed = BuiltinCodecTrainer(config)
    resumed.restore(json.loads(json.dumps(state)), tensors)
    assert resumed.train_step(crops.batch(1, 4)) == trainer.train_step(crops.batch(1, 4))


def test_a_run_fills_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.representations.codecs.trainer.EVALUATION_CLIPS", 4)
    corpus = load_corpus("builtin", clips=2, seconds=1.0)
    config = BuiltinRecipe(SMALL, batch=2, crop_frames=8, cpu_seconds=1.0, quantiser_start=2)
    train_codec([(corpus, 1.0)], config, tmp_path, "the command", report=lambda line: None)
    record = load_codec(tmp_path).record
    assert record["command"] == "the command"
    assert record["metrics"]["builtin"]["n"] == 4
    assert not (tmp_path / "checkpoint.json").exists()


def test_a_step_moves_every_part_but_the_codebooks_by_the_optimisers() -> None:
    trainer = BuiltinCodecTrainer(BuiltinRecipe(SMALL, batch=2, crop_frames=8, steps=100, quantiser_start=0))
    before = {name: parameter.clone() for name, parameter in trainer.codec.named_parameters()}
    for _ in range(3):  # output layers that start at zero pass no gradient on at first
        trainer.train_step(torch.randn(2, 8 * 640, generator=torch.Generator().manual_seed(0)) * 0.1)
    kept = [name for name, parameter in trainer.codec.named_parameters() if torch.equal(parameter, before[name])]
    assert kept == []
    owned = [p for o in trainer.optimisers.values() for group in o.param_groups for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(before)


def test_the_level_loss_gives_back_the_power_that_a_median_leaves_out() -> None:
    """Of bursts that one cannot predict, log-mel L1 prefers the median, silence; the level loss prefers their power."""
    generator = torch.Generator().manual_seed(0)
    shape_N = (torch.rand(32, 500, generator=generator) < 0.3).float().repeat_interleave(64, dim=1)
    bursts_BN = 0.1 * torch.randn(32, 32000, generator=generator) * shape_N
    noise_BN = torch.randn(32, 32000, generator=generator)
    gains = [1e-4, 1e-3, 1e-2, 0.1 * 0.3**0.5]  # the last one has the power of the bursts
    losses = [spectral_losses(bursts_BN, gain * noise_BN, 16000, 0) for gain in gains]
    levels = [level.item() for _, level in losses]
    assert min(levels) == levels[-1] < 0.2
    same_mel, same_level = spectral_losses(bursts_BN, bursts_BN, 16000, 1)
    assert same_mel.item() == same_level.item() == 0
    _, tenth = spectral_losses(bursts_BN, 0.1 * bursts_BN, 16000, 2)
    assert tenth.item() == pytest.approx(np.log(10), rel=0.02)


def test_an_output_below_the_floor_still_gets_a_gradient() -> None:
    wav_BN = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    faint_BN = (1e-6 * wav_BN).requires_grad_()
    torch.autograd.backward(torch.stack(spectral_losses(wav_BN, faint_BN, 16000, 0)).sum())
    assert faint_BN.grad is not None
    assert faint_BN.grad.abs().max() > 0


def test_corpora_are_parsed_with_their_weights() -> None:
    pairs = parse_corpora("builtin:0.7,builtin")
    assert [(corpus.name, weight) for corpus, weight in pairs] == [("builtin", 0.7), ("builtin", 1.0)]


def test_shipped_weights_do_what_their_record_says() -> None:
    codec = load_codec(WEIGHTS)
    recorded = codec.record["metrics"]["builtin"]
    measured = evaluate_codec(codec, load_corpus("builtin"), recorded["n"])
    for name in ("si_snr_db", "rvq_si_snr_db"):
        assert measured[name] == pytest.approx(recorded[name], abs=0.3)
    assert measured["si_snr_db"] > 4.4


@pytest.mark.parametrize("rate", [12.5, 25.0, 50.0, 100.0])
def test_a_frame_rate_is_had_and_crops_keep_their_seconds(rate: float) -> None:
    config = recipe("codec", rate)
    codec = BuiltinCodec(config.model)
    assert codec.spec.frame_rate_hz == rate
    assert config.crop_frames / rate == 32 / 25
    assert codec.encode(torch.zeros(1, 16000)).shape == (1, round(rate), 32)


def test_reconstruct_writes_what_a_codec_gives_back(tmp_path: Path) -> None:
    save_codec(small_codec(), tmp_path / "codec", {})
    noise_N = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    write_audio(tmp_path / "a.wav", noise_N, 8000)
    command = ["reconstruct", str(tmp_path / "a.wav"), "--representation", str(tmp_path / "codec")]
    result = CliRunner().invoke(codec_command, [*command, "--seconds", "0.5", "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a-continuous.flac", "a-original.flac", "a-quantised.flac"]
    heard = {name: read_audio(tmp_path / "out" / name) for name in written}
    assert {(len(audio_N), rate) for audio_N, rate in heard.values()} == {(8000, 16000)}
    assert np.abs(heard["a-original.flac"][0] - heard["a-continuous.flac"][0]).max() > 1e-3
    missing = CliRunner().invoke(codec_command, ["reconstruct", str(tmp_path / "b.wav")])
    assert isinstance(missing.exception, UserError)


def run_codec_train(*arguments: str) -> str:
    """What ``bench codec train`` says about bad input."""
    result = CliRunner().invoke(codec_command, ["train", *arguments])
    assert isinstance(result.exception, UserError)
    return str(result.exception)


def test_bad_recipes_are_one_line_errors(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path))
    assert "did you mean 'stride'" in run_codec_train(*out, "--set", "model.strid=4")
    assert "did you mean 'batch'" in run_codec_train(*out, "--set", "bach=4")
    assert "did you mean 'codec'" in run_codec_train(*out, "--recipe", "codek")
    assert "expected int" in run_codec_train(*out, "--set", "model.dim=wide")
    assert "stride must be above 0" in run_codec_train(*out, "--set", "model.stride=0")
    assert "12.5, 25, 50, 100" in run_codec_train(*out, "--frame-rate", "30")
    assert "two budgets" in run_codec_train(*out, "--steps", "3", "--cpu-seconds", "9")
    assert not list(tmp_path.iterdir())


def test_a_budget_of_steps_gives_the_same_weights_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.representations.codecs.trainer.EVALUATION_CLIPS", 2)
    corpus = load_corpus("builtin", clips=2, seconds=1.0)
    config = BuiltinRecipe(SMALL, batch=2, crop_frames=8, steps=12, quantiser_start=2)
    folders = [train_codec([(corpus, 1.0)], config, tmp_path / name, report=lambda line: None) for name in "ab"]
    runs = [load_codec(Path(folder)) for folder in folders]
    assert runs[0].record["steps"] == 12
    assert runs[0].fingerprint == runs[1].fingerprint


def test_a_run_starts_from_the_weights_of_another_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.representations.codecs.trainer.EVALUATION_CLIPS", 2)
    corpora = [(load_corpus("builtin", clips=2, seconds=1.0), 1.0)]
    config = BuiltinRecipe(SMALL, batch=2, crop_frames=8, steps=4, quantiser_start=1)
    first = Path(train_codec(corpora, config, tmp_path / "first", "the first", report=lambda line: None))
    slow = dataclasses.replace(config, steps=1, learning_rate=1e-9)
    second = Path(train_codec(corpora, slow, tmp_path / "second", report=lambda line: None, init=first))
    before, after = load_codec(first), load_codec(second)
    wav_BN = 0.1 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(after.encode(wav_BN), before.encode(wav_BN), atol=2e-2, rtol=0)  # kept as float16
    assert after.record["init"]["fingerprint"] == before.fingerprint
    assert after.record["init"]["command"] == "the first"
    wider = dataclasses.replace(slow, model=dataclasses.replace(SMALL, width=32))
    with pytest.raises(UserError, match="other sizes"):
        train_codec(corpora, wider, tmp_path / "third", report=lambda line: None, init=first)
    assert "the same folder" in run_codec_train("--init", str(first), "--out", str(first))
