"""Where results are written and read: a user's own in ``my_results/``, the repository's published ones in ``results/``.

Also the check that a path can be written, which commands make before hours of work.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from ...common.errors import UserError
from ...common.files import no_folder
from ...common.lines import say
from .packs import studies_in

PUBLISHED = Path(__file__).resolve().parents[2] / "results"  # of the checkout that this code runs from
OWN = Path("my_results")


def to_write(given: Path | None = None, publish: bool = False) -> Path:
    """The results folder for a command that measures: ``given``, or ``my_results``; with ``publish``, ``results/``.

    Raises:
        UserError: the repository's own ``results/`` without ``publish``, another folder with it, or a folder that
            cannot be written.
    """
    if publish and not PUBLISHED.is_dir():
        raise UserError("--publish writes into a checkout of the repository, and this is none; leave it out")
    folder = given or (_from_here(PUBLISHED) if publish else OWN)
    if is_published(folder) and not publish:
        raise UserError(
            f"{folder} is what this repository publishes; choose another --results, or add --publish to publish there"
        )
    if publish and not is_published(folder):
        raise UserError(f"--publish writes to {_from_here(PUBLISHED)}, not to {folder}; leave out one of the two")
    check_writable(folder, "folder", "--results")
    if publish:
        say(f"publishing: results are written to {folder}, which this repository publishes")
    return folder


def to_read(given: Path | None = None) -> Path:
    """The results folder for a command that reads: ``given``; else ``my_results`` if it holds records; else
    ``results/``, of the current folder or of the repository, if there is one. Prints on stderr which one it is when
    none was given.

    Raises:
        UserError: ``given`` is not a folder.
    """
    if given is not None:
        return check_folder(given, "--results", "the folder that holds the records of studies")
    folder = OWN
    if not studies_in(OWN):  # an installed package comes without published results
        folder = next((place for place in (Path("results"), _from_here(PUBLISHED)) if place.is_dir()), OWN)
    say(f"reading {folder} (to read another folder, give --results)")
    return folder


def is_published(folder: Path) -> bool:
    """Whether ``folder`` is the repository's own ``results/``, or lies in it."""
    place = folder.resolve()
    return place == PUBLISHED or PUBLISHED in place.parents


def check_writable(path: Path, kind: Literal["file", "folder"], option: str = "--out") -> Path:
    """Check that ``path`` can be written, where necessary in new folders; returns it.

    Nothing is written, so that a dry run may call this too.

    Args:
        kind: what ``path`` will be.
        option: of the command line that names it, for the message.

    Raises:
        UserError: there is a folder where a file must be or the reverse, a parent is a file, or writing is refused.
    """
    if path.is_dir() and kind == "file":
        raise UserError(f"{option} {path}: this is a folder; give the name of a file, for example {path / 'NAME'}")
    if path.exists() and not path.is_dir() and kind == "folder":
        raise UserError(f"{option} {path}: this is a file; give the name of a folder")
    folder = path if path.is_dir() else path.parent
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists() or place.is_symlink())
    if not above.is_dir():
        raise UserError(f"{option} {path}: {above} is not a folder; cannot write in it, choose another place")
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise UserError(
            f"{option} {path}: cannot write in {above} ({error.strerror or error}); choose another place"
        ) from error
    return path


def check_folder(path: Path, option: str, what: str) -> Path:
    """A folder to read, checked.

    Args:
        option: that names it, for the message.
        what: the folder holds, as the message asks for it.

    Raises:
        UserError: it does not exist, or it is a file.
    """
    if path.is_dir():
        return path
    raise UserError(f"{option}: {no_folder(path)}; give {what}")


def _from_here(folder: Path) -> Path:
    """``folder`` relative to the current one where it lies below it, so that records hold no path of this machine."""
    here = Path.cwd().resolve()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
