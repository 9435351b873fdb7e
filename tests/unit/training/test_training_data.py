"""The stream: same samples for every arm, no clip twice in an epoch, crops and coins as asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from training_toys import LATENT, SPEC, ToySplit, toy_stream

from paradigm_bench.common.errors import UserError


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
    stream = toy_stream(dataclasses.replace(SPEC, seconds=1.2, batch=3))
    assert "left out 7 of 10 clips that last less than 1.2 s" in capsys.readouterr().err
    assert sorted(item.clip_id for item in stream.plan(1)) == ["clip4", "clip5", "clip6"]
    with pytest.raises(UserError, match=r"as long as a crop, 1.5 s \(the longest of 10 has 1.4 s\)"):
        toy_stream(dataclasses.replace(SPEC, seconds=1.5))


def test_controls_follow_their_frames_and_coins() -> None:
    """Each control is withheld alone as often as asked, all of them together too, and wherever the text is."""
    stream, clips = toy_stream(dataclasses.replace(SPEC, batch=60), controlled=True), ToySplit(10, True)
    ids, withheld = {clip.id: i for i, clip in enumerate(clips.clips)}, []
    for update in range(1, 31):
        batch, _ = stream.batch(update)
        for row, item in enumerate(stream.plan(update)):
            withheld.append((item.keep_text, item.withheld))
            for name, tokens_BT in batch.conditions.controls.items():
                crop = clips.controls[name][ids[item.clip_id]][item.start_frame : item.start_frame + 8]
                assert torch.equal(tokens_BT[row], torch.full_like(crop, -1) if name in item.withheld else crop)
    assert all(gone == {"chords", "melody"} for keep, gone in withheld if not keep)
    shown = [gone for keep, gone in withheld if keep]
    both = np.mean([len(gone) == 2 for gone in shown])
    alone = np.mean([gone == {"chords"} for gone in shown])
    assert both == pytest.approx(0.2 + 0.8 * 0.25, abs=4 * np.sqrt(0.24 / len(shown)))
    assert alone == pytest.approx(0.8 * 0.25, abs=4 * np.sqrt(0.16 / len(shown)))


def test_inpainting_hides_one_span_inside_the_margins() -> None:
    spec = dataclasses.replace(SPEC, inpainting=0.4, hidden=0.5, margin=0.125, batch=40)
    stream = toy_stream(spec)
    hides, starts = [stream.batch(update)[0].known_BT for update in range(1, 101)], set()
    share = np.mean([known is not None for known in hides])
    assert share == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 100))
    for known_BT in (known for known in hides if known is not None):
        assert known_BT.shape == (40, 8)
        assert ((~known_BT).sum(dim=1) == 4).all()
        starts |= set((~known_BT).int().argmax(dim=1).tolist())
    assert starts == {1, 2, 3}  # 8 frames, 4 hidden, 1 known on both sides
    assert toy_stream(dataclasses.replace(spec, inpainting=0.0)).batch(1)[0].known_BT is None
    with pytest.raises(UserError, match="must not exceed 1"):
        dataclasses.replace(spec, hidden=0.9)
