"""Audio files of a folder, its subfolders and the links in it, and their names.

The name of a file is its path below the folder without its ending, so ``a/01.wav`` in one folder and ``a/01.flac`` in
another are partners. Hidden files and folders are skipped; everything else that is not read is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....common.errors import UserError
from ....common.files import no_folder
from ....common.lines import count
from .decode import ENDINGS

UNREAD = (".aifc", ".au", ".caf", ".m4b", ".mka", ".mp4", ".w64", ".webm", ".wma")  # sound that is named, not read


@dataclass(frozen=True)
class AudioFolder:
    """The audio files of a folder.

    Attributes:
        files: name -> file, sorted by name.
        notes: a line on each link that cannot be followed, and on files of other kinds.
    """

    files: dict[str, Path]
    notes: list[str]


def find_audio(folder: Path) -> AudioFolder:
    """All audio files below ``folder``.

    Raises:
        UserError: no such folder, one that cannot be read, no audio in it, or two files of one name.
    """
    if not folder.is_dir():
        raise UserError(f"{no_folder(folder)}; give one that holds {', '.join(ENDINGS)} files")
    found, notes, unread = dict[str, Path](), list[str](), Counter[str]()
    for path in _walk(folder, (folder.resolve(),), notes):
        kind = path.suffix.lower()
        unread[kind] += kind in UNREAD
        if kind in ENDINGS:
            name = name_of(path.relative_to(folder))
            if name in found:
                raise UserError(f"{folder}: {found[name].name} and {path.name} share the name {name!r}; keep one")
            found[name] = path
    if kinds := sorted(kind for kind in unread if unread[kind]):
        number = count(sum(unread.values()), "sound file")
        notes.append(f"left out: {number} of {folder} with the endings {', '.join(kinds)}; convert them to WAV")
    if not found:
        raise UserError("; ".join([f"{folder}: no {', '.join(ENDINGS)} files in it", *notes, "give a folder of audio"]))
    return AudioFolder(dict(sorted(found.items())), notes)


def name_of(path: Path) -> str:
    """A relative path without its ending; a point in the name of a file without an audio ending is kept."""
    return (path.with_suffix("") if path.suffix.lower() in ENDINGS else path).as_posix()


def _walk(folder: Path, above: tuple[Path, ...], notes: list[str]) -> Iterator[Path]:
    """Files of a folder and its subfolders, sorted; ``above``: the real paths of the folder and those that hold it."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); change its permissions") from error
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            real = path.resolve()
            if real in above:
                notes.append(f"left out: {path}: a link to a folder that holds it")
            else:
                yield from _walk(path, (*above, real), notes)
        elif path.is_file():
            yield path
        elif path.is_symlink():
            notes.append(f"left out: {path}: a link to nothing")
