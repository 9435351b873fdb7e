"""Figures that are kept: drawn again when what they show has changed, whatever else has, and only then."""

from __future__ import annotations

import dataclasses
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from paradigm_bench.benchmarks.analysis.packing import pack
from paradigm_bench.benchmarks.analysis.packs import PACK
from paradigm_bench.benchmarks.analysis.records import Record, load_records, save_record
from paradigm_bench.benchmarks.axes.fidelity.report.figures import mosaic
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.report import figure_cache, write_report
from paradigm_bench.benchmarks.report.figure_cache import drawn, fingerprint, forget, kept
from paradigm_bench.benchmarks.report.markup import write_changed
from paradigm_bench.benchmarks.report.style import canvas
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.files import write_text

REPOSITORY = Path(__file__).parents[4]
TABLE = "| ar | 0.5 |"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_text(tmp_path / "s" / "chords" / "a.json", "{}")
    write_text(tmp_path / "s" / "audio" / "0.wav", "clip")
    save(tmp_path / "s", 0)
    return tmp_path / "s"


def save(folder: Path, seed: int, **changes: Any) -> None:
    cell = {"seed": seed}
    artefacts = {"chords": "chords/a.json", "audio/0": "audio/0.wav"}
    one = Record(
        config_hash(cell), "s", "fidelity", "ar", "paradigm", seed, "ok", cell, "2026-01-01T00:00:00",
        metrics={"fad_b": metric(1.0, low=0.5, high=2.0, n=3)}, artefacts=artefacts,
    )  # fmt: skip
    save_record(folder, dataclasses.replace(one, **changes), [{"item": "p", "fad_b": 1.0}])


def mark(folder: Path, table: str = TABLE, draw: Callable[..., Any] | None = None) -> str:
    return fingerprint(draw or a_figure, folder, load_records(folder)[0], [table], [folder / "audio" / "0.wav"])


def a_figure() -> Figure:
    figure, axes = canvas(1, 1, 2, 1)
    axes[0][0].plot([1, 2], [3, 1])
    return figure


def record_file(folder: Path) -> Path:
    (path,) = (folder / "records").glob("*-1.json")
    return path


CHANGES: dict[str, Callable[[Path], object]] = {
    "a score": lambda s: record_file(s).write_text(record_file(s).read_text().replace('"low": 0.5', '"low": 0.25')),
    "one more": lambda s: save(s, 1),
    "one less": lambda s: record_file(s).unlink(),
    "an artefact": lambda s: (s / "chords" / "a.json").write_text("[]"),
    "a clip": lambda s: (s / "audio" / "0.wav").write_text("other"),
    "a clip that is gone": lambda s: (s / "audio" / "0.wav").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_figure_is_drawn_again_when_what_it_shows_has_changed(change: str, study: Path) -> None:
    path = study / "figures" / "scores.png"
    assert drawn(path, mark(study), a_figure) == path
    assert kept(path, mark(study))
    CHANGES[change](study)
    assert not kept(path, mark(study))
    calls: list[int] = []
    assert drawn(path, mark(study), lambda: calls.append(1) or a_figure()) == path  # type: ignore[func-returns-value]
    assert calls == [1]
    assert kept(path, mark(study))


def test_a_figure_is_drawn_again_when_the_analysis_gives_another_table(study: Path) -> None:
    assert mark(study) != mark(study, TABLE.replace("0.5", "0.6"))


def test_what_a_figure_does_not_show_changes_nothing_and_a_kept_figure_is_not_drawn(study: Path) -> None:
    path, first = study / "figures" / "scores.png", mark(study)
    drawn(path, first, a_figure)
    (study / "README.md").write_text("new")
    (study / "audio" / "1.wav").write_text("of another figure")

    def never() -> Figure:
        raise AssertionError("drawn again")

    assert mark(study) == first
    assert drawn(path, first, never) == path


def test_records_have_the_same_mark_packed_and_in_another_place(study: Path, tmp_path: Path) -> None:
    first = mark(study)
    (tmp_path / "elsewhere").mkdir()
    moved = study.rename(tmp_path / "elsewhere" / "s")
    assert mark(moved) == first
    pack(moved)
    assert not list(moved.glob("records/*"))
    assert mark(moved) == first


MODULE = '"""Says."""\nimport math\n\n\ndef draw():\n    """Draws."""\n    return math.pi  # about three\n'


@pytest.mark.parametrize(
    ("source", "same"),
    [
        (MODULE.replace("Draws", "Draws it"), True),
        (MODULE.replace("# about three", "# almost"), True),
        ("# a title\n" + MODULE.replace("\n\n\n", "\n\n"), True),
        (MODULE.replace("math.pi", "math.e"), False),
    ],
)
def test_the_code_that_draws_counts_and_what_is_said_of_it_does_not(
    source: str, same: bool, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = []
    for name, text in (("first", MODULE), ("second", source)):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        module = types.ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(figure_cache.sys.modules, name, module)
        exec(compile(text, path, "exec"), vars(module))
        marks.append(mark(study, draw=module.draw))
    assert (marks[0] == marks[1]) == same


def test_the_style_of_all_figures_counts(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mark(study)
    other = tmp_path / "drawing.py"
    other.write_text(figure_cache.STYLE.read_text().replace("DPI = 80", "DPI = 90"))
    monkeypatch.setattr(figure_cache, "STYLE", other)
    assert mark(study) != first


def test_a_figure_without_anything_to_show_any_more_is_deleted(study: Path) -> None:
    path = study / "figures" / "old.png"
    drawn(path, "0" * 64, a_figure)
    assert drawn(path, mark(study), lambda: None) is None
    assert not path.exists()


def test_figures_are_forgotten_and_other_pictures_are_not(study: Path) -> None:
    drawn(study / "figures" / "scores.png", mark(study), a_figure)
    (study / "figures" / "mine.png").write_bytes(b"a photograph")
    forget(study.parent)
    assert [path.name for path in (study / "figures").iterdir()] == ["mine.png"]


def test_a_text_is_written_only_when_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    write_changed(path, "one")
    state = path.stat()
    write_changed(path, "one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    write_changed(path, "two")
    assert path.read_text() == "two"


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_report_changes_a_figure_only_if_a_record_has_changed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(REPOSITORY / "results" / "quickstart", results / "quickstart")
    out, figure = results / "REPORT.md", results / "quickstart" / "figures" / "scores.png"
    write_report(results, [], out)
    first = contents(results)
    write_report(results, [], out)
    assert contents(results) == first
    pack(figure.parents[1])
    write_report(results, [], out)
    assert [path for path in first if path.suffix == ".png" and path.read_bytes() != first[path][0]] == []
    page = figure.parents[1] / "README.md"
    assert page.read_text() == first[page][0].decode().replace("[records](records)", f"[records]({PACK})")
    held = next(r for r in load_records(figure.parents[1])[0] if r.system == "fm" and r.ended)
    better = {name: dataclasses.replace(m, value=(m.value or 0) / 2) for name, m in held.metrics.items()}
    save_record(figure.parents[1], dataclasses.replace(held, metrics=better))
    write_report(results, [], out)
    assert figure.read_bytes() != first[figure][0]


def test_a_mosaic_puts_each_spectrogram_at_its_place_with_high_bands_on_top() -> None:
    low, high = np.array([[9.0, 9.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [5.0, 5.0]])  # (bands, frames), low first
    picture = mosaic({(0, 0): low, (1, 1): high}, 2, 2, width=4)
    assert picture.shape == (2 * 6, 2 * 12)
    tiles = picture.reshape(2, 6, 2, 12)[:, 2:-2, :, 4:-4]
    assert np.array_equal(tiles[0, :, 0], [[0] * 4, [1] * 4])
    assert np.array_equal(tiles[1, :, 1], [[1] * 4, [0] * 4])
    assert np.isnan(tiles[0, :, 1]).all()
    assert np.isnan(picture[:, :4]).all()
