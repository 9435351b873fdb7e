"""Read sound files: FLAC, OGG, WAV, MP3 and what else libsndfile knows, any rate, any number of channels.

Channels are averaged to mono, then resampled by the polyphase filter of ``scipy.signal.resample_poly`` (Kaiser window,
beta 5). Its overshoot beyond full scale is clipped.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from ..common.files import no_file

MEND_ROW = "replace the file or remove the row"


def read_mono(path: Path, sample_rate: int, where: str, mend: str = MEND_ROW) -> np.ndarray:
    """Read a sound file as mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz.

    Args:
        where: how to call the file's origin in an error, e.g. ``"songs/manifest.csv row 3"``.
        mend: what the error tells the user to do about a file without usable samples.

    Raises:
        UserError: the file is missing, cannot be decoded, is empty, or holds NaN or infinity.
    """
    import soundfile
    from scipy.signal import resample_poly

    if not path.is_file():
        raise UserError(f"{where}, column path: {no_file(path)}; correct the path or remove the row")
    try:
        samples, native_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: cannot decode {path}: {_one_line(error)}; {mend}") from error
    if not len(samples):
        raise UserError(f"{where}: {path} holds no samples; {mend}")
    if not np.isfinite(samples).all():
        raise UserError(f"{where}: {path} holds NaN or infinite samples; export it again or {mend}")
    mono = samples.mean(axis=1)
    if native_rate != sample_rate:
        common = math.gcd(native_rate, sample_rate)
        mono = resample_poly(mono, sample_rate // common, native_rate // common)
    return np.clip(mono, -1.0, 1.0).astype(np.float32)


def duration(path: Path, where: str, mend: str = MEND_ROW) -> float:
    """Length of a sound file in seconds, from its header. ``where``, ``mend``: see ``read_mono``.

    Raises:
        UserError: the file cannot be decoded or is empty.
    """
    import soundfile

    try:
        seconds = float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"{where}: cannot decode {path}: {_one_line(error)}; {mend}") from error
    if seconds <= 0:
        raise UserError(f"{where}: {path} holds no samples; {mend}")
    return seconds


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
