"""The stream: same samples for every arm, no clip twice in an epoch, crops and coins as asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from training_toys import LATENT, SPEC, ToySplit, ToyText, toy_stream

from common.errors import UserError
from training import BatchStream


def test_an_epoch_has_every_clip_once_and_the_next_another_order() -> None:
    stream = toy_stream(dataclasses.replace(SPEC, batch=5))
    epochs = [[item.clip_id for update in (first, first + 1) for item in stream.plan(update)] for first in (1, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(f"clip{i}" for i in range(10))
    assert epochs[0] != epochs[1]


def test_batch_sizes_walk_through_the_same_samples() -> None:
    small, large = (toy_stream(dataclasses.replace(SPEC, batch=batch)) for batch in (3, 12))
    assert [item for update in range(1, 9) for item in small.plan(update)] == [*large.plan(1), *large.plan(2)]


def test_batch_holds_what_the_plan_says() -> None:
    stream, split = toy_stream(), ToySplit()
    batch, rng = stream.batch(7)
    ids = {clip.id: i for i, clip in enumerate(split.clips)}
    raw = LATENT.denormalise(batch.latents_BTD)
    for row, item in enumerate(stream.plan(7)):
        clip, crop = ids[item.clip_id], slice(item.start_frame, item.start_frame + 8)
        torch.testing.assert_close(raw[row], split.z[clip][crop])
        assert torch.equal(batch.codes_BKT[row], split.codes[clip][:, crop].long())
        words = 1 + clip % 3 if item.keep_text else 0
        assert batch.conditions.text_mask_BL[row].sum() == words
        assert set(batch.conditions.text[row][batch.conditions.text_mask_BL[row]].tolist()) <= {clip + 1}
    alone, rng_alone = stream.batch(7, slice(4, 5))
    torch.testing.assert_close(alone.latents_BTD, batch.latents_BTD[4:5])
    torch.testing.assert_close(rng_alone.normal(3), rng.normal(3)[4:5])


def test_crops_reach_both_ends_and_coins_fall_as_often_as_asked() -> None:
    stream = toy_stream(dataclasses.replace(SPEC, condition_dropout=0.3, batch=50))
    items = [item for update in range(1, 81) for item in stream.plan(update)]
    assert {item.start_frame for item in items if item.clip_id == "clip6"} == set(range(7))
    dropped = np.mean([not item.keep_text for item in items])
    assert abs(dropped - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(items))
    assert len({item.seed for item in items}) == len(items)


def test_seed_changes_everything_and_shared_stream_is_the_updates() -> None:
    one, two = (toy_stream(dataclasses.replace(SPEC, seed=seed)) for seed in (0, 1))
    assert not {item.seed for item in one.plan(1)} & {item.seed for item in two.plan(1)}
    assert one.fingerprint != two.fingerprint
    assert torch.equal(one.shared(5).uniform(4), one.shared(5).uniform(4))
    assert not torch.equal(one.shared(5).uniform(4), one.shared(6).uniform(4))


def test_short_clips_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    stream = BatchStream(ToySplit(), LATENT, ToyText(), frames=12, batch=3, seed=0)  # type: ignore[arg-type]
    assert "7 of 10 clips are shorter than 1.2 s" in capsys.readouterr().err
    assert sorted(item.clip_id for item in stream.plan(1)) == ["clip4", "clip5", "clip6"]
    with pytest.raises(UserError, match=r"crop of 1.5 s \(the longest of 10 has 1.4 s\)"):
        BatchStream(ToySplit(), LATENT, ToyText(), frames=15, batch=3, seed=0)  # type: ignore[arg-type]
