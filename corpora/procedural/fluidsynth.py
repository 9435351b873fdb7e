"""The built-in music played on a soundfont by the ``fluidsynth`` program: the same notes, sampled instruments.

Needs the program on the PATH and a General MIDI soundfont (.sf2), named by the environment variable FLUIDSYNTH_SF2.
Samples depend on the soundfont and on fluidsynth's version, so the soundfont's content is part of the fingerprint.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...common.config import config_hash
from ...common.errors import UserError
from ..audio_files import read_mono
from ..clip import Corpus
from ..content import file_hashes
from .composition import Composition
from .corpus import load_builtin
from .midi import midi_file

GAIN = 0.7  # of fluidsynth's mix; reverb and chorus are off, so that clips end as dry as the built-in ones


@dataclass(frozen=True)
class FluidSynth:
    """Renders compositions on one soundfont."""

    soundfont: Path

    def __call__(self, composition: Composition, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz.

        Raises:
            UserError: fluidsynth fails.
        """
        n = round(composition.seconds * sample_rate)
        with tempfile.TemporaryDirectory() as folder:
            score, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
            score.write_bytes(midi_file(composition))
            options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", str(GAIN), "-r", str(sample_rate), "-F", str(sound)]
            run = subprocess.run(
                ["fluidsynth", *options, str(self.soundfont), str(score)], capture_output=True, text=True
            )
            if run.returncode or not sound.is_file():
                reason = " ".join(run.stderr.split())[-200:] or f"exit status {run.returncode}"
                raise UserError(f"fluidsynth cannot use {self.soundfont}: {reason}; try another soundfont")
            samples = read_mono(sound, sample_rate, "fluidsynth")[:n]
        return np.pad(samples, (0, n - len(samples)))


def load_fluidsynth(*, clips: int | None = None, seconds: float | None = None, seed: int = 0) -> Corpus:
    """The built-in corpus on a soundfont; arguments as for ``corpus.load_builtin``.

    Raises:
        UserError: no fluidsynth program, or FLUIDSYNTH_SF2 names no soundfont.
    """
    if shutil.which("fluidsynth") is None:
        raise UserError("builtin:fluidsynth needs the fluidsynth program; install it, or use the corpus 'builtin'")
    named = os.environ.get("FLUIDSYNTH_SF2", "")
    soundfont = Path(named)
    if not soundfont.is_file():
        raise UserError(f"builtin:fluidsynth: no soundfont at FLUIDSYNTH_SF2={named!r}; set it to a .sf2 file")
    render = FluidSynth(soundfont)
    corpus = load_builtin(clips=clips, seconds=seconds, seed=seed, name="builtin-fluidsynth", render=render)
    content = [corpus.fingerprint, GAIN, file_hashes([soundfont], soundfont)]
    return replace(corpus, fingerprint=config_hash(content))
