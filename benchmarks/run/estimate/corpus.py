"""What encoding a corpus will take: a few clips are timed, the rest is arithmetic.

Times are CPU seconds of this process, over all its threads, so that other processes on the machine do not change them;
"x real time" is seconds of audio per CPU second. Hours rest on these times, so they hold for the cores of this machine.
Sizes are exact: frames x (channels x bytes per value + codebooks x 2 bytes).

EnCodec is timed in the shapes of Tal et al. 2025 (appendix E.3), with random weights, on which its speed does not
depend.
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
from ....representations.latents.controls import control_specs, drum_tokens, timed_tokens
from ....representations.latents.encode import EncodingRequest, open_request
from ....representations.latents.store import clip_bytes, clips_that_fit
from ....representations.shapes import ENCODEC_STRIDES, encodec_latent, random_encodec

if TYPE_CHECKING:
    from ....corpora import Clip
    from ....representations.base import Representation

TASKS = 100  # of the job array that the plan assumes
HEADER = ["representation", "frames/s", "codes GB", "latents float32 GB", "float16 GB", "shards", "core-hours", "hours"]


@dataclass(frozen=True)
class TimedStep:
    """One step of encoding, timed on some clips."""

    step: str
    audio_seconds: float
    cpu_seconds: float
    clips: int

    @property
    def speed(self) -> float:
        """Seconds of audio per second of one core."""
        return self.audio_seconds / max(self.cpu_seconds, 1e-9)


def print_corpus_plan(
    request: EncodingRequest, controls: Sequence[str], hours: float, sample: int, encodec: bool
) -> None:
    """Time ``sample`` training clips and print speeds, sizes and times.

    Args:
        hours: of audio to plan for; 0: those of the corpus.
        encodec: plan for EnCodec at 25, 50 and 100 Hz too.

    Raises:
        UserError: an unknown control or representation, or a clip that cannot be read.
    """
    layout, representation = open_request(request)
    spec = representation.spec
    control_specs(controls, spec)
    clips = layout.corpus.clips("train")[: sample + 1]  # the last one is not timed
    everything = [clip for split in layout.corpus.clips_by_split.values() for clip in split]
    total = hours * 3600 or sum(clip.seconds for clip in everything)
    length = sum(clip.seconds for clip in everything) / len(everything)

    reading = _timed(f"read or render at {spec.sample_rate} Hz", clips, lambda clip: clip.audio(spec.sample_rate))
    encoders = [representation, *(_encodec(rate) for rate in ENCODEC_STRIDES if encodec)]
    encoding = [_encoding(clips, encoder) for encoder in encoders]
    controlled = [_control(clips, name, representation) for name in controls]
    extracting = [_extracting(clips, kind, spec.sample_rate) for kind in ("chords", "melody")]
    steps = [reading, *encoding, *controlled, *extracting]
    threads = torch.get_num_threads()
    print(f"{cpu_model()}, {count(os.cpu_count() or 1, 'core')}, torch threads: {threads}; clips of {length:g} s\n")
    rows = [[s.step, s.clips, s.audio_seconds, round(s.cpu_seconds, 3), round(s.speed, 1)] for s in steps]
    print(table(["step", "clips", "audio s", "CPU-s", "x real time"], rows))
    print(f"\n{total / 3600:,.1f} h of audio in clips of {length:g} s, in {TASKS} tasks of one core:\n")
    plans = [
        _plan_row(encoder, total, length, [reading, encoded, *controlled])
        for encoder, encoded in zip(encoders, encoding)
    ]
    print(table(HEADER, plans))


def _plan_row(encoder: Representation, total: float, length: float, steps: Sequence[TimedStep]) -> list[object]:
    """Sizes and times for ``total`` seconds of audio in clips of ``length`` seconds."""
    spec = encoder.spec
    hours = sum(total / step.speed for step in steps) / 3600
    codes = total * spec.frame_rate_hz * spec.codebooks * 2 / 1e9
    latents = [clip_bytes(spec, total, dtype) / 1e9 - codes for dtype in ("float32", "float16")]
    return [
        spec.name,
        round(spec.frame_rate_hz, 1),
        *(round(gigabytes, 1) for gigabytes in (codes, *latents)),
        int(-(-total // (length * clips_that_fit(spec, length)))),
        round(hours) if hours >= 1000 else round(hours, 1),
        round(hours / TASKS, 3),
    ]


def _timed(step: str, clips: Sequence[Clip], work: Callable[[Clip], object]) -> TimedStep:
    work(clips[-1])  # loading and compiling happen once and do not count
    timed = clips[:-1] or clips
    begun = time.process_time()
    for clip in timed:
        work(clip)
    return TimedStep(step, sum(clip.seconds for clip in timed), time.process_time() - begun, len(timed))


@torch.no_grad()
def _encoding(clips: Sequence[Clip], encoder: Representation) -> TimedStep:
    """Latents and codes of noise that is as long as the clips; the speed does not depend on the samples."""
    spec = encoder.spec

    def work(clip: Clip) -> None:
        frames = max(spec.group, spec.frames(clip.seconds))
        z_1TD = encoder.encode(0.1 * torch.randn(1, round(frames * spec.sample_rate / spec.frame_rate_hz)))
        if spec.codebooks:
            encoder.quantise(z_1TD)

    return _timed(f"encode: {spec.name}", clips, work)


def _control(clips: Sequence[Clip], name: str, encoder: Representation) -> TimedStep:
    """A control's tokens as they are stored: from the annotation where there is one."""
    spec = encoder.spec

    def work(clip: Clip) -> None:
        frames = max(spec.group, spec.frames(clip.seconds))
        if name == "drums":
            drum_tokens([clip], encoder, [frames])
        else:
            timed_tokens(clip, name, spec, frames)

    return _timed(f"control: {name}", clips, work)


def _extracting(clips: Sequence[Clip], kind: str, sample_rate: int) -> TimedStep:
    """The built-in extractor on the samples, without reading them: the cost of a corpus without annotation."""
    extractor = load_extractor(kind)
    samples = {clip.id: clip.audio(sample_rate) for clip in clips}
    return _timed(f"extract {kind}: {extractor.name}", clips, lambda clip: extractor(samples[clip.id], sample_rate))


def _encodec(frame_rate: int) -> Representation:
    return random_encodec(encodec_latent(frame_rate).replace(name=f"EnCodec {frame_rate} Hz"))
