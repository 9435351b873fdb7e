"""Every degradation does what its step says, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from paradigm_bench.benchmarks.metrics.degradations import CHAINS, exchange_clips, repeat_clip, required_chains

RATE, SECONDS = 16_000, 4
STEPS = [(c.name, step) for c in CHAINS.values() if c.degrade for step in c.steps_at(RATE)]


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """Three tones that decay, over a little noise up to half the sample rate; peak 0.7."""
    time = np.arange(RATE * SECONDS) / RATE
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (220, 1500, 5000)) * np.exp(-(time % 0.5))
    wav = tones + 0.1 * np.random.default_rng(0).standard_normal(len(time))
    return (0.7 * wav / np.abs(wav).max()).astype(np.float32)


def made(name: str, clip: np.ndarray, step: float, seed: int = 1) -> np.ndarray:
    degrade = CHAINS[name].degrade
    assert degrade is not None
    return degrade(clip, RATE, step, seed)


def level_db(wav: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wav, dtype=np.float64)) + 1e-20))


def band_db(wav: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Level in a band, under a window, since the ends of a clip do not meet."""
    windowed = wav.astype(np.float64) * np.hanning(len(wav))
    power, hz = np.abs(np.fft.rfft(windowed)) ** 2, np.fft.rfftfreq(len(wav), 1 / RATE)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum() + 1e-20))


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_length_and_type_are_kept_and_the_clip_is_not_changed_in_place(
    name: str, step: float, clip: np.ndarray
) -> None:
    before = clip.copy()
    found = made(name, clip, step)
    assert (found.shape, found.dtype) == (clip.shape, np.float32)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(clip, before)
    np.testing.assert_array_equal(found, made(name, clip, step))
    assert not np.allclose(found, clip, atol=1e-6)


@pytest.mark.parametrize("name", ["noise", "reverberation", "dropouts", "blocks"])
def test_another_seed_gives_another_clip(name: str, clip: np.ndarray) -> None:
    step = CHAINS[name].steps[-1]
    assert not np.allclose(made(name, clip, step, 1), made(name, clip, step, 2))


@pytest.mark.parametrize("snr", CHAINS["noise"].steps)
def test_noise_has_the_ratio_that_was_asked_for(snr: float, clip: np.ndarray) -> None:
    assert level_db(clip) - level_db(made("noise", clip, snr) - clip) == pytest.approx(snr, abs=0.01)


def test_noise_of_one_clip_differs_by_its_level_only(clip: np.ndarray) -> None:
    quiet, loud = made("noise", clip, 40) - clip, made("noise", clip, 20) - clip
    np.testing.assert_allclose(10 * quiet, loud, atol=1e-6)


@pytest.mark.parametrize("khz", CHAINS["low_pass"].steps)
def test_nothing_is_left_above_a_low_pass(khz: float, clip: np.ndarray) -> None:
    found = made("low_pass", clip, khz)
    if khz < 4:
        assert band_db(found, 2000 * khz, RATE / 2) < band_db(clip, 2000 * khz, RATE / 2) - 60
    assert band_db(found, 0, 400 * khz) == pytest.approx(band_db(clip, 0, 400 * khz), abs=0.1)


@pytest.mark.parametrize("hz", CHAINS["high_pass"].steps)
def test_nothing_is_left_below_a_high_pass(hz: float, clip: np.ndarray) -> None:
    found = made("high_pass", clip, hz)
    assert band_db(found, 0, hz / 2) < band_db(clip, 0, hz / 2) - 20
    assert band_db(found, 3 * hz, 7900) == pytest.approx(band_db(clip, 3 * hz, 7900), abs=0.1)


@pytest.mark.parametrize("bits", CHAINS["bit_depth"].steps)
def test_bit_depth_leaves_as_many_levels(bits: float, clip: np.ndarray) -> None:
    levels = len(np.unique(made("bit_depth", clip, bits)))
    assert levels <= 2**bits
    if bits <= 6:
        assert levels > 0.8 * 2**bits


@pytest.mark.parametrize("over_db", CHAINS["clipping"].steps)
def test_clipping_cuts_at_its_level_and_leaves_the_rest(over_db: float, clip: np.ndarray) -> None:
    found, limit = made("clipping", clip, over_db), 0.7 * 10 ** (-over_db / 20)
    assert np.abs(found).max() == pytest.approx(limit, rel=1e-5)
    below = np.abs(clip) < limit * 0.999
    np.testing.assert_array_equal(found[below], clip[below])


@pytest.mark.parametrize("percent", CHAINS["dropouts"].steps)
def test_dropouts_silence_their_share(percent: float, clip: np.ndarray) -> None:
    silent = made("dropouts", clip, percent) == 0
    assert silent.mean() == pytest.approx(percent / 100, abs=0.002)
    assert not (silent & (made("dropouts", clip, 50) != 0)).any()  # silent later too


def test_reverberation_goes_on_after_the_sound_and_longer_at_each_step() -> None:
    click = np.zeros(RATE * SECONDS, np.float32)
    click[100] = 1.0
    tails = [level_db(made("reverberation", click, s)[100 + RATE // 5 :]) for s in CHAINS["reverberation"].steps]
    assert tails == sorted(tails)
    assert np.abs(made("reverberation", click, 2.0)[:100]).max() < 1e-6


@pytest.mark.parametrize("step", CHAINS["loudness"].steps)
def test_loudness_changes_exactly_and_nothing_is_clipped(step: float, clip: np.ndarray) -> None:
    found = made("loudness", clip, step)
    assert level_db(found) - level_db(clip) == pytest.approx(step, abs=1e-4)
    np.testing.assert_allclose(found / np.abs(found).max(), clip / np.abs(clip).max(), atol=1e-6)


@pytest.mark.parametrize("khz", CHAINS["resampling"].steps)
def test_resampling_keeps_what_the_lower_rate_can_hold(khz: float, clip: np.ndarray) -> None:
    found = made("resampling", clip, khz)
    assert band_db(found, 600 * khz, RATE / 2) < band_db(clip, 600 * khz, RATE / 2) - 20
    assert band_db(found, 0, 350 * khz) == pytest.approx(band_db(clip, 0, 350 * khz), abs=0.2)


@pytest.mark.parametrize("semitones", CHAINS["pitch"].steps)
def test_pitch_rises_by_semitones_and_time_stays(semitones: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE * SECONDS) / RATE).astype(np.float32)
    found = made("pitch", tone, semitones)
    peak = np.argmax(np.abs(np.fft.rfft(found * np.hanning(len(found))))) / SECONDS
    assert peak == pytest.approx(440 * 2 ** (semitones / 12), abs=1.5)


@pytest.mark.parametrize("factor", CHAINS["tempo"].steps)
def test_tempo_moves_a_late_event_forward_at_the_same_pitch(factor: float) -> None:
    time = np.arange(RATE * SECONDS) / RATE
    burst = (np.sin(2 * np.pi * 440 * time) * np.exp(-(((time - 1.5) / 0.05) ** 2))).astype(np.float32)
    found = made("tempo", burst, factor)
    assert np.argmax(np.abs(found)) / RATE == pytest.approx(1.5 / factor, abs=0.03)
    whole = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert np.argmax(whole) / SECONDS == pytest.approx(440, abs=2)


@pytest.mark.parametrize("block", CHAINS["blocks"].steps)
def test_blocks_change_places_and_nothing_is_lost(block: float) -> None:
    ramp = np.arange(RATE * 4, dtype=np.float32)
    found = made("blocks", ramp, block)
    np.testing.assert_array_equal(np.sort(found), ramp)
    size = round(block * RATE)
    assert (found.reshape(-1, size)[:, 0] != ramp.reshape(-1, size)[:, 0]).all()
    assert (np.diff(found.reshape(-1, size), axis=1) == 1).all()


@pytest.mark.parametrize("percent", CHAINS["silence"].steps)
def test_only_the_end_is_silent(percent: float, clip: np.ndarray) -> None:
    found, left = made("silence", clip, percent), round(len(clip) * (1 - percent / 100))
    np.testing.assert_array_equal(found[:left], clip[:left])
    assert (found[left:] == 0).all()


def test_mp3_is_aligned_and_worse_at_lower_rates(clip: np.ndarray) -> None:
    steps = CHAINS["mp3"].steps_at(RATE)
    if not steps:
        pytest.skip("libsndfile writes no MP3 here")
    errors = [level_db(made("mp3", clip, kbits) - clip) - level_db(clip) for kbits in steps]
    assert errors == sorted(errors)
    assert errors[0] < -15  # a delay of one sample would leave more


def test_steps_that_a_sample_rate_does_not_allow_are_left_out() -> None:
    assert CHAINS["low_pass"].steps_at(8000) == (2, 1, 0.5)
    assert CHAINS["resampling"].steps_at(8000) == (4,)
    assert CHAINS["mp3"].steps_at(8000) == ()


@pytest.mark.parametrize(("percent", "copies"), [(25, 10), (50, 20), (100, 40)])
def test_a_clip_is_repeated(percent: float, copies: int) -> None:
    index = repeat_clip(40, percent, 0)
    values, counts = np.unique(index, return_counts=True)
    assert counts.max() == copies
    assert len(values) == 40 - copies + 1
    assert (index[repeat_clip(40, 25, 0) != np.arange(40)] == values[counts.argmax()]).all()


@pytest.mark.parametrize(("percent", "moved"), [(1, 2), (5, 2), (25, 10), (100, 40)])
def test_exchanged_clips_change_places_in_one_cycle(percent: float, moved: int) -> None:
    index = exchange_clips(40, percent, 0)
    np.testing.assert_array_equal(np.sort(index), np.arange(40))
    assert (index != np.arange(40)).sum() == moved


def test_silent_and_short_clips_survive() -> None:
    for wav in (np.zeros(RATE, np.float32), np.full(RATE // 10, 0.1, np.float32)):
        for name, step in STEPS:
            if name not in ("pitch", "tempo"):
                found = made(name, wav, step)
                assert len(found) == len(wav)
                assert np.isfinite(found).all()


def test_what_is_required_is_stated() -> None:
    fidelity = ("noise", "low_pass", "clipping", "dropouts")
    assert required_chains("kad_musicnn") == fidelity
    assert required_chains("kl_musicnn") == (*fidelity, "exchanged")
    assert required_chains("adherence_key_builtin") == ("exchanged",)
    assert required_chains("seam") == required_chains("chord_iou") == ()
