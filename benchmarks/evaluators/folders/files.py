"""Audio files of a folder, subfolders included, and what is wrong with them.

A file's name is its path below the folder without its ending, so ``a/01.wav`` here and ``a/01.flac`` there belong
together. Channels are averaged; rate and level stay as they are, since every evaluator makes its own of them
(``benchmarks.evaluators.audio``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....common.errors import UserError
from ....common.files import no_folder
from ..audio import MIN_SECONDS

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")


class BadAudioError(Exception):
    """A file that cannot be scored; the message says why, without naming it."""


@dataclass(frozen=True)
class Read:
    """One file's sound: mono samples (N,) and their rate in Hz."""

    samples: NDArray[np.float32]
    rate: int


def find_audio(folder: Path) -> dict[str, Path]:
    """Name -> file, sorted by name.

    Raises:
        UserError: no such folder, no audio in it, or two files of one name.
    """
    if not folder.is_dir():
        raise UserError(f"{no_folder(folder)}; give one that holds {', '.join(ENDINGS)} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise UserError(f"{folder}: {found[name].name} and {path.name} share the name {name!r}; keep one")
            found[name] = path
    if not found:
        raise UserError(f"{folder}: no {', '.join(ENDINGS)} files in it; give a folder of audio")
    return dict(sorted(found.items()))


def read(path: Path) -> Read:
    """The file's sound.

    Raises:
        BadAudioError: it cannot be decoded, is too short, or holds NaN or infinity.
    """
    try:
        import soundfile
    except ImportError as error:
        raise UserError("reading audio needs the package soundfile; pip install soundfile") from error
    try:
        samples_NC, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".").rpartition(": ")[2]
        raise BadAudioError(f"cannot be decoded ({reason})") from error
    if len(samples_NC) < MIN_SECONDS * rate:
        raise BadAudioError(f"lasts {len(samples_NC) / rate:.3f} s, at least {MIN_SECONDS} s are needed")
    if not np.isfinite(samples_NC).all():
        raise BadAudioError("holds NaN or infinity")
    return Read(samples_NC.mean(axis=1), rate)
