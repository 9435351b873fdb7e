"""Writing and reading clips: whole files, in the format of their ending."""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path

import numpy as np

from .errors import UserError
from .files import atomic_path


def kept_format() -> str:
    """Ending of the clips kept beside records: ``.flac``, or ``.wav`` where soundfile is missing."""
    return ".flac" if importlib.util.find_spec("soundfile") else ".wav"


def write_audio(path: Path, audio_N: np.ndarray, sample_rate: int) -> None:
    """Write mono samples in [-1, 1] as 16-bit audio; ``.wav`` always, others as soundfile knows them.

    Raises:
        UserError: samples are not finite, soundfile is missing, the format is unknown, or the file cannot be written.
    """
    if not np.isfinite(audio_N).all():
        raise UserError(f"cannot write {path}: the clip has samples that are not finite; check the sampler's settings")
    clipped = np.clip(audio_N, -1, 1)
    kind = path.suffix[1:].upper()
    if kind == "WAV":
        with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
            file.setparams((1, 2, sample_rate, 0, "NONE", ""))
            file.writeframes(np.round(clipped * 32767).astype("<i2").tobytes())
        return
    try:
        import soundfile
    except ImportError as error:
        raise UserError(f"cannot write {path}: it needs the package soundfile; install it or use .wav") from error
    if kind not in soundfile.available_formats():
        raise UserError(f"cannot write {path}: unknown audio format {path.suffix!r}; use .wav or .flac")
    with atomic_path(path) as temporary:
        soundfile.write(temporary, clipped, sample_rate, format=kind, subtype="PCM_16" if kind == "FLAC" else None)


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples (N,) in [-1, 1] of a file that ``write_audio`` wrote, and their rate."""
    if path.suffix == ".wav":
        with wave.open(str(path), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return samples.astype(np.float32) / 32767, file.getframerate()
    import soundfile

    audio_N, rate = soundfile.read(path, dtype="float32")
    return audio_N, rate
