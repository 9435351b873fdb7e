"""Figures that are kept: drawn again when anything they were drawn from has changed, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.report import keeping
from benchmarks.report.drawing import canvas, save, save_svg
from benchmarks.report.fidelity.figures import mosaic
from benchmarks.report.keeping import drawn, fingerprint, kept


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in ("records/a-1.json", "records/a-1.items.csv", "audio/real/0.wav", "table.csv", "figures/old.png"):
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "s"


def a_figure() -> Figure:
    figure, axes = canvas(1, 1, 2, 1)
    axes[0][0].plot([1, 2], [3, 1])
    return figure


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "a record": lambda s, _: (s / "records/a-1.json").write_text("records/A-1.json"),
    "its scores": lambda s, _: (s / "records/a-1.items.csv").write_text(""),
    "one more": lambda s, _: (s / "records/b-1.json").write_text(""),
    "one less": lambda s, _: (s / "records/a-1.json").unlink(),
    "another name": lambda s, _: (s / "records/a-1.json").rename(s / "records/c-1.json"),
    "a clip": lambda s, _: (s / "audio/real/0.wav").write_text("other"),
    "the code": lambda _, patch: patch.setattr(keeping, "_drawn_by", lambda: "later code"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_figure_is_drawn_again_when_what_it_shows_has_changed(
    change: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study / "figures" / "scores.png"
    first = fingerprint(study)
    assert drawn(path, first, a_figure) == path
    assert kept(path, first)
    CHANGES[change](study, monkeypatch)
    assert not kept(path, fingerprint(study))
    calls: list[int] = []
    assert drawn(path, fingerprint(study), lambda: calls.append(1) or a_figure()) == path  # type: ignore[func-returns-value]
    assert calls == [1]
    assert kept(path, fingerprint(study))


def test_what_the_report_writes_itself_changes_nothing_and_a_kept_figure_is_not_drawn(study: Path) -> None:
    path, mark = study / "figures" / "scores.png", fingerprint(study)
    drawn(path, mark, a_figure)
    (study / "table.csv").write_text("new")
    (study / "figures" / "old.png").unlink()

    def never() -> Figure:
        raise AssertionError("drawn again")

    assert fingerprint(study) == mark
    assert drawn(path, mark, never) == path


def test_the_studys_place_does_not_matter_and_code_does(study: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    mark = fingerprint(study)
    assert fingerprint(study.rename(tmp_path / "elsewhere" / "s")) == mark
    held = {path.relative_to(keeping.HOUSE).as_posix() for path in keeping._code()}
    assert {"benchmarks/report/fidelity/figures.py", "benchmarks/papers/sheets/tal2025.yaml"} <= held
    assert {"benchmarks/statistics.py", "corpora/extractors/chords.py", "paradigms/__init__.py"} <= held


def test_a_figure_without_anything_to_show_any_more_is_deleted(study: Path) -> None:
    path = study / "figures" / "old.png"
    assert drawn(path, fingerprint(study), lambda: None) is None
    assert not path.exists()


def test_svgs_bear_the_mark_and_are_the_same_bytes_when_drawn_again(tmp_path: Path) -> None:
    files = []
    for name in "ab":
        figure = a_figure()
        save(figure, tmp_path / name / "f.png", mark="0" * 64)
        files.append(save_svg(figure, tmp_path / name / "f.svg", "0" * 64))
    assert files[0].read_bytes() == files[1].read_bytes()
    assert kept(files[0], "0" * 64)
    assert not kept(files[0], "1" * 64)


def test_a_mosaic_puts_each_spectrogram_at_its_place_with_high_bands_on_top() -> None:
    low, high = np.array([[9.0, 9.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [5.0, 5.0]])  # (bands, frames), low first
    picture = mosaic({(0, 0): low, (1, 1): high}, 2, 2, width=4)
    assert picture.shape == (2 * 6, 2 * 12)
    tiles = picture.reshape(2, 6, 2, 12)[:, 2:-2, :, 4:-4]
    assert np.array_equal(tiles[0, :, 0], [[0] * 4, [1] * 4])
    assert np.array_equal(tiles[1, :, 1], [[1] * 4, [0] * 4])
    assert np.isnan(tiles[0, :, 1]).all()
    assert np.isnan(picture[:, :4]).all()
