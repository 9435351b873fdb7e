"""What encoding a corpus would take, on paper: a few clips are timed, the rest is arithmetic.

Times are processor time of this process (all its threads), so that a busy machine does not change them; "times real
time" is seconds of audio for each such second. Sizes are exact: frames x (channels x bytes per value + codebooks x 2
bytes); hours divide by what was measured here, so they hold for this machine's cores.

EnCodec in its published shapes (papers/002, appendix E.3: 32 kHz, strides, 128 channels, 4 codebooks of 2048) is timed
with untrained weights, on which its speed does not depend.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ....common.console import table
from ....common.environment import cpu_model
from ....common.lines import count
from ....corpora.extractors import load_extractor
from ....representations.base import LatentSpec, Representation
from ....representations.latents.control_tokens import drum_tokens, timed_tokens
from ....representations.latents.controls import control_specs
from ....representations.latents.layout import clip_bytes, clips_that_fit
from ....representations.latents.prepare import Request, opened

if TYPE_CHECKING:
    from ....corpora import Clip

ENCODEC_RATES = (25, 50, 100)  # frames per second
TASKS = 100  # of the job array that the plan assumes


@dataclass(frozen=True)
class Rate:
    """One step, timed on some clips."""

    step: str
    audio_seconds: float
    cpu_seconds: float
    clips: int

    @property
    def speed(self) -> float:
        """Times real time, per core."""
        return self.audio_seconds / max(self.cpu_seconds, 1e-9)


def print_plan(request: Request, controls: Sequence[str], hours: float, sample: int, encodec: bool) -> None:
    """Time ``sample`` train clips and print rates, sizes and times.

    Args:
        hours: of audio to plan for; 0: those of the corpus.
        encodec: plan for EnCodec at 25, 50 and 100 Hz too.

    Raises:
        UserError: an unknown control or representation, or a clip that cannot be read.
    """
    layout, representation = opened(request)
    control_specs(controls, representation.spec)
    clips = layout.corpus.clips("train")[: sample + 1]  # the last one is not timed
    everything = [clip for split in layout.corpus.clips_by_split.values() for clip in split]
    total = hours * 3600 or sum(clip.seconds for clip in everything)
    length = sum(clip.seconds for clip in everything) / len(everything)

    reading = _reading(clips, representation.spec.sample_rate)
    encoders = [representation, *(_encodec(rate) for rate in ENCODEC_RATES if encodec)]
    encoding = [_encoding(clips, encoder) for encoder in encoders]
    controlled = [_control(clips, name, representation) for name in controls]
    heard = [_hearing(clips, kind, representation.spec.sample_rate) for kind in ("chords", "melody")]
    rates = [reading, *encoding, *controlled, *heard]
    threads = torch.get_num_threads()
    print(f"{cpu_model()}, {count(os.cpu_count() or 1, 'core')}, torch threads: {threads}; clips of {length:g} s\n")
    print(table(["step", "clips", "audio s", "CPU-s", "x real time"], [_rate_row(rate) for rate in rates]))
    print(f"\n{total / 3600:,.1f} h of audio in clips of {length:g} s, in {TASKS} tasks of one core:\n")
    header = [
        "representation", "frames/s", "codes GB", "latents float32 GB", "float16 GB", "shards", "core-hours", "hours",
    ]  # fmt: skip
    rows = [
        _plan_row(encoder, total, length, [reading, encoded, *controlled])
        for encoder, encoded in zip(encoders, encoding)
    ]
    print(table(header, rows))


def _rate_row(rate: Rate) -> list[object]:
    return [rate.step, rate.clips, rate.audio_seconds, round(rate.cpu_seconds, 3), round(rate.speed, 1)]


def _plan_row(encoder: Representation, total: float, length: float, steps: Sequence[Rate]) -> list[object]:
    spec = encoder.spec
    exact_hours = sum(total / rate.speed for rate in steps) / 3600
    core_hours = round(exact_hours) if exact_hours >= 1000 else round(exact_hours, 1)
    frames = total * spec.frame_rate_hz
    shards = -(-total // (length * clips_that_fit(spec, length)))
    codes = frames * spec.codebooks * 2 / 1e9
    exact, half = (clip_bytes(spec, total, dtype) / 1e9 - codes for dtype in ("float32", "float16"))
    sizes = [round(value, 1) for value in (codes, exact, half)]
    return [
        spec.name,
        round(spec.frame_rate_hz, 1),
        *sizes,
        int(shards),
        core_hours,
        round(exact_hours / TASKS, 3),  # core_hours has one decimal, and TASKS is 100
    ]


def _timed(step: str, clips: Sequence[Clip], work: Callable[[Clip], object]) -> Rate:
    work(clips[-1])  # what is loaded or compiled once is no part of the rate
    timed = clips[:-1] or clips
    begun = time.process_time()
    for clip in timed:
        work(clip)
    return Rate(step, sum(clip.seconds for clip in timed), time.process_time() - begun, len(timed))


def _reading(clips: Sequence[Clip], sample_rate: int) -> Rate:
    return _timed(f"read or render at {sample_rate} Hz", clips, lambda clip: clip.audio(sample_rate))


@torch.no_grad()
def _encoding(clips: Sequence[Clip], encoder: Representation) -> Rate:
    """Latents and codes; of noise, as long as the clips, since the speed does not depend on what is heard."""
    spec = encoder.spec

    def work(clip: Clip) -> None:
        frames = max(spec.group, spec.frames(clip.seconds))
        wav_1N = 0.1 * torch.randn(1, round(frames * spec.sample_rate / spec.frame_rate_hz))
        z_1TD = encoder.encode(wav_1N)
        if spec.codebooks:
            encoder.quantise(z_1TD)

    return _timed(f"encode: {spec.name}", clips, work)


def _control(clips: Sequence[Clip], name: str, encoder: Representation) -> Rate:
    """A control as it is stored: from the annotation where there is one."""
    spec = encoder.spec

    def work(clip: Clip) -> None:
        frames = max(spec.group, spec.frames(clip.seconds))
        if name == "drums":
            drum_tokens([clip], encoder, [frames])
        else:
            timed_tokens(clip, name, spec, frames)

    return _timed(f"control: {name}", clips, work)


def _hearing(clips: Sequence[Clip], kind: str, sample_rate: int) -> Rate:
    """What a corpus without annotation costs: the built-in extractor on the samples, reading left out."""
    extractor = load_extractor(kind)
    samples = {clip.id: clip.audio(sample_rate) for clip in clips}
    return _timed(f"hear {kind}: {extractor.name}", clips, lambda clip: extractor(samples[clip.id], sample_rate))


def _encodec(frame_rate: int) -> Representation:
    """EnCodec in its published shape, untrained."""
    from ...axes.latency.model import decoder_of

    latent = LatentSpec(f"EnCodec {frame_rate} Hz", 32_000, frame_rate, 128, codebooks=4, cardinality=2048)
    made = decoder_of({"setting": {"decoder": "encodec"}}, latent)
    assert made is not None
    return made
