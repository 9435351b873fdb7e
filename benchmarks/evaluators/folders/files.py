"""Audio files of a folder, subfolders included, their faults, and the captions of generated files.

The name of a file is its path below the folder without its ending, so ``a/01.wav`` in one folder and ``a/01.flac`` in
another are partners. Channels are averaged; rate and level are left to the evaluator (``evaluators/audio.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ....common.errors import UserError
from ....common.files import no_folder
from ....corpora.manifest import read_manifest
from ..audio import MIN_SECONDS

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")


class BadAudioError(Exception):
    """A file that cannot be scored; the message gives the reason without the file's name."""


@dataclass(frozen=True)
class Waveform:
    """Content of a file: mono samples (N,) and their rate in Hz."""

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


def read_audio(path: Path) -> Waveform:
    """Samples and rate of a file.

    Raises:
        BadAudioError: it cannot be decoded, is too short, or holds NaN or infinity.
    """
    try:
        import soundfile  # an optional package
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
    return Waveform(samples_NC.mean(axis=1), rate)


def read_captions(path: Path) -> dict[str, str]:
    """Captions of generated files by their names, from a manifest (CSV or JSON lines with ``path`` and ``caption``).

    Raises:
        UserError: no such file, no rows, a column missing, an empty caption, or two captions of one name.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise UserError(f"{path}: not a .csv or .jsonl file; give one with the columns path and caption")
    found: dict[str, str] = {}
    for row in read_manifest(path):
        name = PurePosixPath(row.required("path"))
        key = (name.with_suffix("") if name.suffix.lower() in ENDINGS else name).as_posix()
        if key in found:
            raise UserError(f"{row.where}: {key} has a caption already; keep one")
        found[key] = row.required("caption")
    return found
