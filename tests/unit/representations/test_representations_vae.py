"""The built-in VAE: its posterior, its divergence against torch's, training and resuming, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.codecs.builtin import BuiltinVAE, CodecConfig
from paradigm_bench.representations.codecs.builtin_trainer import BuiltinRecipe, BuiltinVAETrainer
from paradigm_bench.representations.codecs.losses import gaussian_kl
from paradigm_bench.representations.codecs.trainer import Crops, evaluate_codec, train_codec

SMALL = CodecConfig(width=24, encoder_blocks=1, decoder_blocks=1, dim=6, codebooks=0, cardinality=0)


def test_the_divergence_is_that_of_torch_summed_over_channels() -> None:
    generator = torch.Generator().manual_seed(0)
    mean_BTD = torch.randn(2, 3, 4, generator=generator)
    std_BTD = torch.rand(2, 3, 4, generator=generator) + 0.1
    expected_BT = kl_divergence(Normal(mean_BTD, std_BTD), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(gaussian_kl(mean_BTD, std_BTD), expected_BT)


def test_a_latent_is_the_posterior_mean_alone_or_in_a_batch_and_has_no_codes() -> None:
    vae = BuiltinVAE(SMALL).eval().requires_grad_(False)
    for parameter in vae.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    wav_BN = 0.1 * torch.randn(3, 6500)
    mean_BTD, std_BTD = vae.posterior(wav_BN)
    assert mean_BTD.shape == std_BTD.shape == (3, 10, 6)
    assert (std_BTD > 0).all()
    torch.testing.assert_close(vae.encode(wav_BN[1:2]), mean_BTD[1:2], atol=1e-5, rtol=0)
    assert vae.decode(mean_BTD).shape == (3, 6400)
    with pytest.raises(UserError, match="no codebooks"):
        vae.quantise(mean_BTD)


def test_half_a_quantiser_is_refused() -> None:
    with pytest.raises(UserError, match="0 and 0 for a VAE"):
        CodecConfig(codebooks=0)


def test_training_lowers_the_loss_and_resumes_exactly() -> None:
    corpus = load_corpus("builtin", clips=4, seconds=2.0)
    config = BuiltinRecipe(SMALL, batch=4, crop_frames=16, steps=100)
    crops = Crops([(corpus, 1.0)], 16000, 16 * 640, seed=0)
    trainer = BuiltinVAETrainer(config)
    trainer.initialise(crops.batch(-1, 8))
    losses = [trainer.train_step(crops.batch(0, 4)) for _ in range(15)]
    assert losses[-1]["loss"] < losses[7]["loss"] < losses[0]["loss"]
    assert losses[0]["kl"] > 0
    state, tensors = trainer.checkpoint()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    resumed = BuiltinVAETrainer(config)
    resumed.restore(json.loads(json.dumps(state)), tensors)
    assert resumed.train_step(crops.batch(1, 4)) == trainer.train_step(crops.batch(1, 4))


def test_a_run_leaves_a_vae_that_loads_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.representations.codecs.trainer.EVALUATION_CLIPS", 2)
    corpus = load_corpus("builtin", clips=2, seconds=1.0)
    config = BuiltinRecipe(SMALL, batch=2, crop_frames=8, steps=5)
    loaded = load_representation(train_codec([(corpus, 1.0)], config, tmp_path, report=lambda line: None))
    assert isinstance(loaded, BuiltinVAE)
    measured = evaluate_codec(loaded, corpus, 2)
    recorded = loaded.record["metrics"]["builtin"]  # of the weights before they were rounded to float16
    numbers = {name for name, value in recorded.items() if isinstance(value, float)}
    assert {name: measured[name] for name in numbers} == pytest.approx(
        {name: recorded[name] for name in numbers}, abs=0.02
    )
    assert measured["kl_nats_per_frame"] > 0
    assert "rvq_si_snr_db" not in measured


def test_shipped_weights_do_what_their_record_says() -> None:
    vae = load_representation("vae_builtin")
    assert isinstance(vae, BuiltinVAE)
    recorded = vae.record["metrics"]["builtin"]
    measured = evaluate_codec(vae, load_corpus("builtin"), recorded["n"])
    assert measured["corpus_fingerprint"] == recorded["corpus_fingerprint"]
    for name in ("si_snr_db", "log_mel_l1", "kl_nats_per_frame"):
        assert measured[name] == pytest.approx(recorded[name], rel=0.05)
    assert vae.record["cpu_seconds"] <= 7300
    with pytest.raises(UserError, match="takes no argument"):
        load_representation("vae_builtin:x")
