"""Writing clips: whole files, in the format of their ending."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import atomic_path


def write_audio(path: Path, audio_N: np.ndarray, sample_rate: int) -> None:
    """Write mono samples in [-1, 1] as 16-bit audio; ``.wav``, ``.flac``, ``.ogg`` and what else soundfile knows.

    Raises:
        UserError: soundfile is missing, the format is unknown, or the file cannot be written.
    """
    try:
        import soundfile
    except ImportError as error:
        raise UserError(f"cannot write {path}: the package soundfile is missing; pip install soundfile") from error
    kind = path.suffix[1:].upper()
    if kind not in soundfile.available_formats():
        raise UserError(f"cannot write {path}: unknown audio format {path.suffix!r}; use .wav or .flac")
    with atomic_path(path) as temporary:
        soundfile.write(
            temporary, np.clip(audio_N, -1, 1), sample_rate, format=kind, subtype="PCM_16" if kind != "OGG" else None
        )
