"""Fine-tuning by reward: weights and penalty by hand, rounds from a checkpoint, collapse, useless rewards."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_toys import LATENT as TOY_LATENT
from training_toys import SPEC, Denoiser, ToySplit, ToyText, curve, save_toy

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.evaluators.rewards import load_reward
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import write_json
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.corpora import load_corpus
from paradigm_bench.paradigms.base import Loss
from paradigm_bench.paradigms.pipeline import load_model
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig, save_codec
from paradigm_bench.representations.text.encoders import load_text_encoder
from paradigm_bench.training.loop import train
from paradigm_bench.training.rewards import Reward
from paradigm_bench.training.tuning import Regularised, RewardedStream, TuneSpec, divergence, relative, reward_weights
from paradigm_bench.training.tuning_rounds import diversity, tune
from tests.helpers import make, perturb, some_batch, some_conditions

TUNE = TuneSpec(reward="by hand", tau=2.0, penalty=0.0, watched=2)
QUICK = TuneSpec(reward="by hand", tau=5.0, rounds=2, clips=6, updates=2, batch=3, watched=4, warmup=0, lr=1e-3)


def test_weights_by_hand() -> None:
    assert reward_weights([0.0, 1.0], math.log(3)).tolist() == pytest.approx([0.5, 1.5])
    assert reward_weights([5.0, -3.0, 0.2], 0.0).tolist() == [1.0, 1.0, 1.0]
    assert torch.allclose(reward_weights([0.1, 0.4, 0.3], 10.0), reward_weights([900.1, 900.4, 900.3], 10.0))
    assert Loss.from_items(torch.tensor([1.0, 3.0])).weighted(torch.tensor([0.5, 1.5])).item() == 2.5
    assert Loss.from_items(torch.tensor([1.0, 3.0])).weighted(None).item() == 2.0


def toy_rewards(spec: Any = SPEC) -> RewardedStream:
    split: Any = ToySplit(10)
    return RewardedStream(split, [i / 4 for i in range(10)], TUNE, TOY_LATENT, ToyText(), spec)  # type: ignore[arg-type]


def test_a_batch_weighs_its_clips_by_their_rewards() -> None:
    stream = toy_rewards()
    asked = [int(item.clip_id.removeprefix("clip")) for item in stream.plan(3)]
    batch, _ = stream.batch(3)
    assert torch.allclose(batch.weights_B, reward_weights([i / 4 for i in asked], 2.0))
    part, _ = stream.batch(3, slice(2, 4))
    assert torch.equal(part.weights_B, batch.weights_B[2:4])  # normalised over the whole batch
    assert batch.weights_B.mean().item() == pytest.approx(1.0)


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    for parts in (1, 3):
        spec, model = dataclasses.replace(SPEC, accumulate=parts), Denoiser()
        objective = Regularised(model, 0.0)  # type: ignore[arg-type]
        train(
            model, toy_rewards(spec), spec, tmp_path / str(parts), device="cpu", progress=False, save=save_toy,
            objective=objective,
        )  # type: ignore[arg-type]  # fmt: skip
    whole, cut = (torch.tensor(curve(tmp_path / parts)) for parts in ("1", "3"))
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", paradigms.names())
def test_the_penalty_is_nothing_at_first_and_grows_with_the_distance(name: str) -> None:
    """Both models see the same noise, times and masks, or the first figure would not be zero."""
    model = make(name)
    batch = dataclasses.replace(some_batch(some_conditions([3, 5])), weights_B=torch.tensor([0.4, 1.6]))
    draws = ItemRNG([1, 2]), ItemRNG([3])
    objective = Regularised(model, 100.0)
    plain = model.loss(batch, ItemRNG([1, 2]), ItemRNG([3])).weighted(batch.weights_B)
    torch.testing.assert_close(objective(model, batch, *draws), plain, rtol=1e-4, atol=1e-4)
    perturb(model, 0.02, seed=1)
    near = model.loss(batch, ItemRNG([1, 2]), ItemRNG([3])).weighted(batch.weights_B)
    value = objective(model, batch, ItemRNG([1, 2]), ItemRNG([3]))
    assert value.item() > near.item() + 1e-3
    value.backward()
    assert objective.reference is not None
    assert all(p.grad is None for p in objective.reference.parameters())


def test_divergence_by_hand() -> None:
    fm, ar = make("fm"), make("ar")
    assert divergence(fm, torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])).item() == 2.5
    theirs, ours = (torch.log(torch.tensor([[p, *[(1 - p) / 10] * 10]])) for p in (0.5, 0.25))
    expected = 0.5 * math.log(2) + 0.5 * math.log(0.05 / 0.075)
    assert divergence(ar, ours.repeat(1, 3), theirs.repeat(1, 3)).item() == pytest.approx(expected, rel=1e-5)


def test_diversity_by_hand() -> None:
    assert diversity(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3)


class Judge:
    """Embeds a clip as its loudness in ten parts, scaled down call by call."""

    def __init__(self, shrink: float = 1.0) -> None:
        self.calls, self.shrink = 0, shrink

    def embed(self, audio: list[np.ndarray], sample_rate: int) -> np.ndarray:
        self.calls += 1
        rows = [[np.abs(part).mean() for part in np.array_split(clip, 10)] for clip in audio]
        return np.array(rows) * self.shrink ** (self.calls - 1)


def loud(audio: list[np.ndarray], sample_rate: int, captions: list[str]) -> list[float]:
    assert len(audio) == len(captions)
    return [float(np.abs(clip).mean()) for clip in audio]


def scorer(function: Any = loud) -> Reward:
    return Reward("by hand", "0", "", function)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny fm over a tiny codec, untrained, as ``bench train`` leaves one."""
    return saved("fm", tmp_path_factory.mktemp("tune"))


def saved(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    codec = BuiltinCodec(dataclasses.replace(CodecConfig(), width=16, codebooks=2, cardinality=16))
    for tensor in codec.quantiser.state_dict().values():
        if tensor.is_floating_point() and not tensor.any():
            tensor.normal_()  # an untrained codebook is silence
    save_codec(codec, folder / "codec", {})
    captions = [clip.caption for clip in music()]
    text = load_text_encoder("builtin", captions)
    backbone = BackboneConfig(d_model=16, n_layers=2, n_heads=2, d_ff=32)
    from paradigm_bench.representations import load_representation

    representation = load_representation(str(folder / "codec"))
    model = perturb(paradigms.build(name, {}, backbone, representation.spec, text.spec), 0.05)
    about = {"representation": str(folder / "codec"), "representation_fingerprint": representation.fingerprint}
    short: dict[str, Any] = {"fm": {"steps": 2}, "ar": {"top_k": 5}}
    write_json(folder / "model" / "pipeline.json", {**about, "text": "builtin", "sampler": short[name], "seconds": 0.5})
    paradigms.save(model, folder / "model")
    return folder / "model"


def music() -> list[Any]:
    return list(load_corpus("builtin", clips=12, seconds=1.0).clips("train"))


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in paradigms.load(folder).parameters()])


def test_rounds_make_score_and_train_and_a_stopped_run_goes_on(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    made = tune(
        checkpoint, music(), scorer(), Judge(), QUICK, tmp_path / "a", report=lambda share, words: told.append(words)
    )  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (tmp_path / "a" / "tune.jsonl").read_text().splitlines()]
    assert lines == made.rounds
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert len(told) == 3
    assert (made.kept, made.collapsed, made.updates) == (2, False, 4)
    assert lines[0]["distance"] == 0 < lines[1]["distance"]
    assert 1 < lines[0]["effective_clips"] < 6
    assert not torch.equal(weights(made.final), weights(checkpoint))
    assert load_model(made.final).sampler == {"steps": 2}
    assert set(made.record) >= {"kept_round", "collapsed", "diversity", "distance", "reward"}
    # The same command again: nothing is drawn or trained anew, and the weights are the same.
    monkeypatch.setattr("paradigm_bench.paradigms.fm.FM.generate", None)
    again = tune(checkpoint, music(), scorer(), Judge(), QUICK, tmp_path / "a")  # type: ignore[arg-type]
    assert torch.equal(weights(again.final), weights(made.final))


def test_rewards_count_within_their_caption() -> None:
    """An easy caption's clips (rewards 5) outweigh no hard one's (0); only being better than one's siblings counts."""
    weights = reward_weights(relative([5.0, 5.0, 0.0, 1.0], 2), 2.0).tolist()
    e = math.e
    total = 2 + e + 1 / e
    assert weights == pytest.approx([4 / total, 4 / total, 4 / e / total, 4 * e / total])
    assert relative([5.0, 1.0], 1) == [5.0, 1.0]


def test_a_caption_has_as_many_clips_as_its_group(checkpoint: Path, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def listening(audio: list[np.ndarray], rate: int, captions: list[str]) -> list[float]:
        asked.append(captions)
        assert len({clip.tobytes() for clip in audio}) == len(audio)  # no two clips of a caption are the same
        return loud(audio, rate, captions)

    spec = dataclasses.replace(QUICK, group=2, rounds=1)
    tune(checkpoint, music(), scorer(listening), Judge(), spec, tmp_path)  # type: ignore[arg-type]
    first = asked[0]
    assert len(first) == 6
    assert first[::2] == first[1::2]
    assert len(set(first[:4])) == 2


def test_codes_are_tuned_too(tmp_path: Path) -> None:
    model = saved("ar", tmp_path)
    made = tune(model, music(), scorer(), Judge(), dataclasses.replace(QUICK, rounds=1), tmp_path / "out")  # type: ignore[arg-type]
    assert made.rounds[1]["distance"] > 0
    assert not torch.equal(weights(made.final), weights(model))


def test_collapse_stops_and_keeps_what_was_before(checkpoint: Path, tmp_path: Path) -> None:
    made = tune(checkpoint, music(), scorer(), Judge(shrink=0.5), QUICK, tmp_path)  # type: ignore[arg-type]
    assert (made.collapsed, made.kept, len(made.rounds)) == (True, 0, 2)
    assert torch.equal(weights(made.final), weights(checkpoint))


BAD = [
    (lambda a, r, c: [math.nan, *[1.0] * (len(a) - 1)], r"gave nan for 1 of 6 clips, the first for '"),
    (lambda a, r, c: np.ones((len(a), 2)), r"gave shape \(6, 2\) for 6 clips; return one number per clip"),
    (lambda a, r, c: 1.0, r"gave shape \(\) for 6 clips"),
    (lambda a, r, c: [0.5] * len(a), r"gave 0.5 for all 6 clips; there is nothing to learn from"),
    (lambda a, r, c: 1 / 0, "failed: ZeroDivisionError"),
    (lambda a, r, c: ["good"] * len(a), "failed: ValueError"),
]


@pytest.mark.parametrize(("function", "message"), BAD)
def test_a_useless_reward_is_told_in_one_line_and_nothing_is_lost(
    function: Any, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        tune(checkpoint, music(), scorer(function), Judge(), QUICK, tmp_path)  # type: ignore[arg-type]
    assert (tmp_path / "round-01" / "pool.safetensors").exists()  # for the same command with a mended reward
    assert not (tmp_path / "final").exists()


def test_rewards_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def bright(audio, rate, captions):\n    return [len(a) for a in audio]\nx = 3\n")
    mine = load_reward(f"{tmp_path}/mine.py:bright")
    assert mine.name == "mine.py:bright"
    assert mine.score([np.zeros(3), np.zeros(5)], 16000, ["a", "b"]).tolist() == [3.0, 5.0]
    clap = load_reward("clap_builtin")
    assert clap.evaluator
    scores = clap.score([np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)], 16000, ["a calm piece"])
    assert -1 <= scores[0] <= 1
    for wrong, message in (
        ("clapp_builtin", "no reward 'clapp_builtin'; known: clap_EVALUATOR"),
        (f"{tmp_path}/yours.py:f", "no such file"),
        (f"{tmp_path}/mine.py:dark", "has no function 'dark'"),
        (f"{tmp_path}/mine.py:x", "has no function 'x'"),
    ):
        with pytest.raises(UserError, match=message):
            load_reward(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tau": -1.0}, "tune.tau is -1.0"),
        ({"rounds": 0}, "tune.rounds is 0"),
        ({"collapse": 1.0}, "tune.collapse is 1.0"),
        ({"group": 0}, "tune.group is 0"),
        ({"group": 3}, r"tune.group is 3 but must divide tune.clips \(256\) and tune.watched \(64\)"),
        ({"watched": 300}, r"tune.watched is 300 but must lie between 2 and tune.clips \(256\)"),
    ],
)
def test_impossible_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TuneSpec(reward="clap_builtin", **wrong)


def test_tuning_is_for_the_axis_fidelity() -> None:
    with pytest.raises(UserError, match="rewards and tuning do not work on axis control"):
        load_study("control", ["evaluation.reward=clap_builtin"])
