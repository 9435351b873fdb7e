"""The full-size recipes made tiny: balancer and discriminator by hand, both families trained, resumed and loaded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.codecs.adversarial import AdversarialRecipe, AdversarialTrainer, LossWeights
from paradigm_bench.representations.codecs.losses import (
    Balancer,
    MultiScaleDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from paradigm_bench.representations.codecs.recipes import RECIPES, recipe
from paradigm_bench.representations.codecs.trainer import train_codec
from paradigm_bench.representations.codecs.waveform import WaveModel, encodec_model, oobleck_model

TINY = {
    "encodec": WaveModel("encodec", (4, 2), width=4, dim=6, codebooks=2, cardinality=8, sample_rate=8000),
    "vae": WaveModel("vae", (2, 4), width=8, dim=4, sample_rate=8000),
}


def tiny(family: str) -> AdversarialRecipe:
    config = recipe(f"{family}-25")
    assert isinstance(config, AdversarialRecipe)
    return dataclasses.replace(
        config, model=TINY[family], steps=4, batch=2, crop_seconds=0.064, learning_rate=3e-3, filters=4,
        windows=(128, 64), mel_windows=(64, 256), device="cpu",
    )  # fmt: skip


def tiny_trainer(family: str) -> AdversarialTrainer:
    trainer = tiny(family).trainer()
    assert isinstance(trainer, AdversarialTrainer)
    return trainer


def waves(seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, 512, generator=torch.Generator().manual_seed(seed))


def test_the_balancer_by_hand() -> None:
    balancer = Balancer({"a": 1.0, "b": 3.0, "off": 0.0}, decay=0.5)
    output_BN = torch.zeros(2, 4, requires_grad=True)

    def losses(scale: float) -> dict[str, torch.Tensor]:
        # Gradients per item: (scale, 0, 0, 0) of norm scale, and 100 in all four places, of norm 200.
        return {"a": scale * output_BN[:, 0].sum(), "b": 100 * output_BN.sum()}

    first = balancer.gradient(losses(5.0), output_BN)
    torch.testing.assert_close(first, torch.tensor([[0.25 + 0.375, 0.375, 0.375, 0.375]] * 2))
    # Then a's norm is 8: its average is (0.5 * 5 + 8) / 1.5 = 7, so 8 / 7 of its share; b stays.
    resumed = Balancer({"a": 1.0, "b": 3.0}, decay=0.5)
    resumed.restore(json.loads(json.dumps(balancer.state())))
    second = resumed.gradient(losses(8.0), output_BN)
    torch.testing.assert_close(second[0, 0], torch.tensor(0.25 * 8 / 7 + 0.375))


def test_the_discriminator_sees_time_and_frequency_at_every_scale() -> None:
    discriminator = MultiScaleDiscriminator((128, 64), filters=3)
    logits, features = discriminator(torch.randn(2, 512))[0]
    # 1 + (512 - 128) / 32 = 13 windows of 65 bins; stride 2 leaves 33, 17, 9 of them.
    assert [tuple(f.shape) for f in features] == [(2, 3, 13, bins) for bins in (65, 33, 17, 9, 9)]
    assert logits.shape == (2, 1, 13, 9)
    assert discriminator(torch.randn(2, 512))[1][0].shape == (2, 1, 29, 5)


def test_discriminator_losses_by_hand() -> None:
    real = [(torch.tensor([2.0, 0.5]), [torch.tensor([2.0, -2.0])])]
    fake = [(torch.tensor([-2.0, 0.5]), [torch.tensor([1.0, -2.0])])]
    assert discriminator_loss(real, fake).item() == pytest.approx(0.25 + 0.75)
    assert adversarial_loss(fake).item() == pytest.approx((3 + 0.5) / 2)
    assert feature_loss(real, fake).item() == pytest.approx(0.5 / 2)


@pytest.mark.parametrize("family", ["encodec", "vae"])
def test_training_lowers_the_mel_distance_and_moves_the_discriminator(family: str) -> None:
    # Mostly reconstruction: within a few steps a game against a discriminator need not come nearer to anything.
    losses = LossWeights(wave=0.1, mel=2.0, adversarial=0.1, features=0.1)
    trainer = dataclasses.replace(tiny(family), losses=losses).trainer()
    assert isinstance(trainer, AdversarialTrainer)
    before = {name: p.detach().clone() for name, p in trainer.discriminator.named_parameters()}
    t_N = torch.arange(512) / 8000
    tones_BN = 0.3 * torch.sin(2 * torch.pi * torch.tensor([[440.0], [1000.0]]) * t_N)
    values = [trainer.train_step(tones_BN) for _ in range(20)]
    assert values[-1]["mel"] < 0.9 * values[0]["mel"]
    still = {name for name, p in trainer.discriminator.named_parameters() if torch.equal(p, before[name])}
    assert all(name.endswith("judge.bias") for name in still)  # inside the margins both hinges pull it equally
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trainer.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("family", ["encodec", "vae"])
def test_a_restored_run_goes_on_to_the_last_bit(family: str) -> None:
    trainer = tiny_trainer(family)
    for step in range(3):
        trainer.train_step(waves(step))
    state, tensors = trainer.checkpoint()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    resumed = tiny_trainer(family)
    resumed.restore(json.loads(json.dumps(state)), tensors)
    for step in (3, 4):
        assert resumed.train_step(waves(step)) == trainer.train_step(waves(step))
    weights, others = trainer.average_model.state_dict(), resumed.average_model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(("family", "kind"), [("encodec", "encodec"), ("vae", "oobleck")])
def test_the_result_loads_as_what_it_is(
    family: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paradigm_bench.representations.codecs.trainer.EVALUATION_CLIPS", 2)
    corpus = load_corpus("builtin", clips=2, seconds=1.0)
    reference = train_codec([(corpus, 1.0)], tiny(family), tmp_path, "the command", lambda line: None)
    assert reference == f"{kind}:{tmp_path}"
    loaded = load_representation(reference)
    assert (loaded.spec.sample_rate, loaded.spec.frame_rate_hz) == (8000, 1000.0)
    assert (loaded.spec.dim, loaded.spec.codebooks) == (TINY[family].dim, TINY[family].codebooks)
    z_BTD = loaded.encode(waves(0))
    assert z_BTD.shape == (2, 64, TINY[family].dim)
    if family == "encodec":
        assert loaded.quantise(z_BTD).unique().numel() > 1  # the codebooks came along
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["command"] == "the command"
    assert record["metrics"]["builtin"]["n"] == 2


def test_full_size_models_are_those_of_the_table() -> None:
    rates = {name: config.model.frame_rate_hz for name, config in RECIPES.items() if hasattr(config, "losses")}
    assert rates == {f"{family}-{rate}": float(rate) for family in ("encodec", "vae") for rate in (25, 50, 100)}
    with torch.device("meta"):
        for name in ("encodec-25", "encodec-100"):
            encodec = encodec_model(RECIPES[name].model)
            assert len(encodec.quantizer.layers) == 4
            assert encodec.config.hop_length == RECIPES[name].model.hop
        vae = oobleck_model(RECIPES["vae-50"].model)
    assert [block.conv1.out_channels for block in vae.encoder.block] == [128, 256, 512, 1024, 2048]
    assert (vae.hop_length, vae.encoder.conv2.out_channels) == (640, 2 * 64)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"family": "vae", "codebooks": 4, "cardinality": 8}, "a VAE must have 0 codebooks"),
        ({"codebooks": 0}, "1 or more codebooks"),
        ({"strides": (8, 0)}, "above 0"),
    ],
)
def test_models_that_cannot_be_are_one_line_errors(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        dataclasses.replace(TINY["encodec"], **changes)


def test_windows_longer_than_a_segment_are_a_one_line_error() -> None:
    with pytest.raises(UserError, match="none longer than the segments' 512"):
        dataclasses.replace(tiny("vae"), windows=(2048,))
