"""Content of one audio file: its samples, and whether it ends early.

WAV, FLAC, Ogg, MP3 and AIFF are read by soundfile, AAC by ffmpeg where it is on the PATH. A truncated file decodes
without an error in most formats, so its length is compared with the one that it declares. Channels are averaged; rate
and level are left to the evaluators (``evaluators/audio.py``).
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ....common.errors import UserError
from ..audio import MIN_SECONDS

FFMPEG_ENDINGS = (".m4a", ".aac")
ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", *FFMPEG_ENDINGS)
FFMPEG_SECONDS = 60  # for one file; a damaged one can hold a decoder for ever
STREAMED = 0x7FFF_F000  # a length at or above it is a placeholder of a program that wrote to a pipe
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page (RFC 3533, section 6)
SHORTEST_GAP_S = 0.05  # between the declared and the decoded length of a truncated file


class BadAudioError(Exception):
    """A file that cannot be scored; the message gives the reason without the file's name."""


@dataclass(frozen=True)
class Waveform:
    """Content of a file.

    Attributes:
        samples: mono, (N,).
        rate: in Hz.
        truncated: how one sees that the file ends early; empty for a whole file.
    """

    samples: NDArray[np.float32]
    rate: int
    truncated: str = ""


def read_audio(path: Path) -> Waveform:
    """Samples and rate of a file.

    Raises:
        BadAudioError: it cannot be decoded, is too short, or holds NaN or infinity.
    """
    try:
        samples_NC, rate, truncated = (_by_ffmpeg if path.suffix.lower() in FFMPEG_ENDINGS else _by_soundfile)(path)
    except OSError as error:
        raise BadAudioError(f"cannot be read ({error.strerror or error})") from error
    if len(samples_NC) < MIN_SECONDS * rate:
        raise BadAudioError(f"lasts {len(samples_NC) / rate:.3f} s, at least {MIN_SECONDS} s are needed")
    if not np.isfinite(samples_NC).all():
        raise BadAudioError("holds NaN or infinity")
    return Waveform(samples_NC.mean(axis=1), rate, truncated)


def _by_soundfile(path: Path) -> tuple[NDArray[np.float32], int, str]:
    """Samples (N, C), rate, and how one sees that the file is truncated."""
    with path.open("rb") as file:
        samples_NC, rate, declared = _decode(file)
    seconds = len(samples_NC) / rate
    if (missing := (declared - len(samples_NC)) / rate) > SHORTEST_GAP_S:
        return samples_NC, rate, _shorter(declared / rate, seconds)
    kind = path.suffix.lower()
    if kind in (".ogg", ".oga", ".opus"):
        return samples_NC, rate, "" if _ogg_has_its_end(path) else f"no end of stream after {seconds:.2f} s"
    if kind in (".wav", ".aiff", ".aif") and (share := _share_present(path)) < 1:
        missing = seconds / share - seconds if share else np.inf
        return samples_NC, rate, _shorter(seconds + missing, seconds) if missing > SHORTEST_GAP_S else ""
    return samples_NC, rate, ""


def _shorter(declared: float, seconds: float) -> str:
    return f"its header declares {declared:.2f} s, {seconds:.2f} s are there"


def _decode(file: BinaryIO) -> tuple[NDArray[np.float32], int, int]:
    """Samples (N, C), rate, and the declared number of frames."""
    try:
        import soundfile  # an optional package
    except ImportError as error:
        raise UserError("reading audio needs the package soundfile; pip install soundfile") from error
    try:
        with soundfile.SoundFile(file) as sound:
            found: Any = sound.read(dtype="float32", always_2d=True)
            return found, sound.samplerate, sound.frames
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".").rpartition(": ")[2]
        raise BadAudioError(f"cannot be decoded ({reason or 'damaged or truncated data'})") from error


def _by_ffmpeg(path: Path) -> tuple[NDArray[np.float32], int, str]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise BadAudioError(f"{path.suffix} needs ffmpeg, which is not on the PATH; install it, or convert to WAV")
    command = [program, "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    try:
        done = subprocess.run(
            [*command, "-c:a", "pcm_f32le", "-f", "wav", "-"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=FFMPEG_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BadAudioError(f"ffmpeg took more than {FFMPEG_SECONDS} s; convert it to WAV") from error
    said = [line.split("] ")[-1] for line in done.stderr.decode(errors="replace").strip().splitlines()]
    if done.returncode or not done.stdout:
        raise BadAudioError(f"cannot be decoded by ffmpeg ({said[0] if said else f'status {done.returncode}'})")
    samples_NC, rate, _ = _decode(io.BytesIO(done.stdout))
    return samples_NC, rate, f"ffmpeg says: {said[0]}" if said else ""


def _share_present(path: Path) -> float:
    """Share of the sound data that a WAV or AIFF header declares and that is in the file; 1 where it declares none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        form = file.read(12)
        number, wanted = (">I", b"SSND") if form[:4] == b"FORM" else ("<I", b"data")
        if form[:4] not in (b"RIFF", b"FORM"):
            return 1.0
        while len(head := file.read(8)) == 8:
            length = struct.unpack(number, head[4:])[0]
            if head[:4] == wanted:
                here = size - file.tell()
                return 1.0 if length <= here or length >= STREAMED else here / length
            file.seek(length + length % 2, io.SEEK_CUR)
    return 1.0


def _ogg_has_its_end(path: Path) -> bool:
    """Whether the last page of an Ogg file is whole and marked as the end of the stream (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * OGG_PAGE))
        tail = file.read()
    start = tail.rfind(b"OggS")
    header = tail[start : start + 27]
    if start < 0 or len(header) < 27:
        return False
    lengths = tail[start + 27 : start + 27 + header[26]]
    whole = len(lengths) == header[26] and start + 27 + len(lengths) + sum(lengths) <= len(tail)
    return whole and bool(header[5] & 4)
