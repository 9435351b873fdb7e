"""Captions of generated files, from a table of the suite or of a public dataset.

The header of a table says which it is. Datasets name clips by an id, so each row is tried under every name that their
download scripts give to files:

- manifest: ``path``, ``caption``;
- Hugging Face, metadata.csv or .jsonl: ``file_name``, and ``text`` or ``caption``;
- Clotho (Drossos et al., 2020): ``file_name``, ``caption_1`` to ``caption_5``;
- AudioCaps (Kim et al., 2019): ``youtube_id``, ``start_time``, ``caption``;
- MusicCaps (Agostinelli et al., 2023): ``ytid``, ``start_s``, ``end_s``, ``caption``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ....common.errors import UserError, did_you_mean
from ....common.lines import count
from ....corpora.manifest import ManifestRow, read_manifest
from .files import name_of


@dataclass(frozen=True)
class TableKind:
    """A kind of caption table.

    Attributes:
        columns: that tell it from other kinds.
        names: names of a row's file, the most precise first.
        caption: column of the caption; of several captions of one file the first is taken.
        many: whether a file may have several captions.
    """

    title: str
    columns: tuple[str, ...]
    names: Callable[[ManifestRow], Iterable[str]]
    caption: str
    many: bool = False


def _path(column: str) -> Callable[[ManifestRow], Iterable[str]]:
    """The path below the table's folder, and its last part, because the folder given may be a subfolder."""

    def names(row: ManifestRow) -> Iterable[str]:
        name = name_of(Path(row.required(column)))
        return (name, PurePosixPath(name).name)

    return names


def _youtube(video: str, start: int, end: int) -> Iterable[str]:
    """Names with the start and end of the clip, in seconds or milliseconds, then those of the video alone."""
    for first, last in ((start, end), (1000 * start, 1000 * end)):
        yield from (f"{video}_{first}_{last}", f"{video}_{first}", f"{video}-{first}-{last}", f"{video}-{first}")
    yield from (f"[{video}]-[{start}-{end}]", f"Y{video}_{start}", f"Y{video}", video)


def _audiocaps(row: ManifestRow) -> Iterable[str]:
    start = _seconds(row, "start_time")
    yield from _youtube(row.required("youtube_id"), start, start + 10)  # every clip lasts ten seconds
    yield from filter(None, [row.get("audiocap_id")])


def _musiccaps(row: ManifestRow) -> Iterable[str]:
    return _youtube(row.required("ytid"), _seconds(row, "start_s"), _seconds(row, "end_s"))


def _seconds(row: ManifestRow, column: str) -> int:
    try:
        return int(float(row.required(column)))
    except (ValueError, OverflowError) as error:
        raise UserError(f"{row.where}, column {column}: {row.get(column)!r} is no number of seconds") from error


KINDS = (
    TableKind("manifest", ("path", "caption"), _path("path"), "caption"),
    TableKind("Clotho", ("file_name", "caption_1"), _path("file_name"), "caption_1", many=True),
    TableKind("Hugging Face", ("file_name", "text"), _path("file_name"), "text"),
    TableKind("Hugging Face", ("file_name", "caption"), _path("file_name"), "caption"),
    TableKind("AudioCaps", ("youtube_id", "start_time", "caption"), _audiocaps, "caption", many=True),
    TableKind("MusicCaps", ("ytid", "start_s", "end_s", "caption"), _musiccaps, "caption"),
)


@dataclass(frozen=True)
class CaptionTable:
    """Captions by the names that their files may have.

    Attributes:
        path: of the table.
        kind: which dataset's it is.
        exact: most precise name of each row -> its captions, in the table's order.
        loose: every other name -> the captions of all rows that may have it.
    """

    path: Path
    kind: TableKind
    exact: dict[str, list[str]]
    loose: dict[str, list[str]]

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """Name of a file -> its caption, by its path or, failing that, by the last part of it.

        Raises:
            UserError: a file without a caption, or whose name fits rows with different captions.
        """
        found = {name: self._fitting(name) for name in names}
        if missing := [name for name in names if not found[name]]:
            hint = did_you_mean(missing[0], list(self.exact))
            raise UserError(
                f"{self.path} ({self.kind.title}): no caption for {missing[0]}{hint}, one of "
                f"{count(len(missing), 'file')} without; add rows for them, or remove the files"
            )
        for name, captions in found.items():
            if len(captions) > 1 and not self.kind.many:
                raise UserError(
                    f"{self.path} ({self.kind.title}): {name} fits {count(len(captions), 'row')} with different "
                    f"captions; name the file as precisely as the table does, such as {next(iter(self.exact))}"
                )
        return {name: captions[0] for name, captions in found.items()}

    def notes(self) -> list[str]:
        """A line if a file may have several captions."""
        return [f"captions: {self.kind.title} has several for a clip; the first is taken"] if self.kind.many else []

    def _fitting(self, name: str) -> list[str]:
        last = PurePosixPath(name).name
        return self.exact.get(name) or self.exact.get(last) or self.loose.get(name) or self.loose.get(last) or []


def read_captions(path: Path) -> CaptionTable:
    """Read a table of captions, .csv or .jsonl.

    Raises:
        UserError: it cannot be read, has the columns of no known kind, an empty cell, or two captions of one file.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise UserError(f"{path}: not a .csv or .jsonl file; give one with the columns path and caption")
    rows = read_manifest(path, required=())
    kind = _kind_of(rows[0], path)
    exact, loose = dict[str, list[str]](), dict[str, list[str]]()
    for row in rows:
        caption, (first, *others) = row.required(kind.caption), kind.names(row)
        if first in exact and not kind.many:
            raise UserError(f"{row.where}: {first} has a caption already; keep one")
        exact.setdefault(first, []).append(caption)
        for name in others:
            held = loose.setdefault(name, [])
            held += [] if caption in held else [caption]
    return CaptionTable(path, kind, exact, loose)


def _kind_of(row: ManifestRow, path: Path) -> TableKind:
    for kind in KINDS:
        if all(column in row.cells for column in kind.columns):
            return kind
    known = "; ".join(f"{', '.join(kind.columns)} ({kind.title})" for kind in KINDS)
    raise UserError(f"{path}: columns {', '.join(row.cells) or 'none'} are those of no known table; give {known}")
