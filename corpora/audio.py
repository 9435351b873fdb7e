"""Read and write sound files.

``read_mono`` reads the files of users: FLAC, OGG, WAV, MP3 and the other formats of libsndfile, any sample rate, any
number of channels. Channels are averaged, then resampled by ``scipy.signal.resample_poly`` (polyphase filter, Kaiser
window, beta 5). Its overshoot beyond full scale is clipped.

``write_audio`` and ``read_audio`` write clips and read them again.
"""

# soundfile loads inside functions: WAV files must work on machines without it. scipy.signal is slow to import.

from __future__ import annotations

import importlib.util
import math
import wave
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from ..common.files import atomic_path, no_file

FIX_ROW = "replace the file or remove the row"


def read_mono(path: Path, sample_rate: int, where: str, fix: str = FIX_ROW) -> np.ndarray:
    """Read a sound file as mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz.

    Args:
        where: what names the file in an error, e.g. ``"songs/manifest.csv row 3"``.
        fix: what the error tells the user to do about a file without usable samples.

    Raises:
        UserError: the file is missing, cannot be decoded, is empty, or holds NaN or infinity.
    """
    import soundfile

    if not path.is_file():
        raise UserError(f"{where}, column path: {no_file(path)}; correct the path or remove the row")
    try:
        samples, native_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: cannot decode {path}: {_one_line(error)}; {fix}") from error
    if not len(samples):
        raise UserError(f"{where}: {path} holds no samples; {fix}")
    if not np.isfinite(samples).all():
        raise UserError(f"{where}: {path} holds NaN or infinite samples; export it again or {fix}")
    mono = resample(samples.mean(axis=1), native_rate, sample_rate)
    return np.asarray(np.clip(mono, -1.0, 1.0), dtype=np.float32)


def resample(audio_N: np.ndarray, native_rate: int, sample_rate: int) -> np.ndarray:
    """Samples at ``native_rate`` Hz as samples at ``sample_rate`` Hz."""
    from scipy.signal import resample_poly

    if native_rate == sample_rate:
        return audio_N
    common = math.gcd(native_rate, sample_rate)
    return np.asarray(resample_poly(audio_N, sample_rate // common, native_rate // common))


def duration(path: Path, where: str, fix: str = FIX_ROW) -> float:
    """Length of a sound file in seconds, from its header; ``where`` and ``fix`` as for ``read_mono``.

    Raises:
        UserError: the file cannot be decoded or is empty.
    """
    import soundfile

    try:
        seconds = float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: cannot decode {path}: {_one_line(error)}; {fix}") from error
    if seconds <= 0:
        raise UserError(f"{where}: {path} holds no samples; {fix}")
    return seconds


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def kept_format() -> str:
    """Suffix of the clips stored beside records: ``.flac``, or ``.wav`` if soundfile is not installed."""
    return ".flac" if importlib.util.find_spec("soundfile") else ".wav"


def write_audio(path: Path, audio_N: np.ndarray, sample_rate: int) -> None:
    """Write mono samples in [-1, 1] as 16-bit audio; formats other than ``.wav`` need soundfile.

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
    """Mono samples (N,) in [-1, 1] of a file that ``write_audio`` wrote, and their sample rate in Hz."""
    if path.suffix == ".wav":
        with wave.open(str(path), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return samples.astype(np.float32) / 32767, file.getframerate()
    import soundfile

    audio_N, rate = soundfile.read(path, dtype="float32")
    return audio_N, rate
