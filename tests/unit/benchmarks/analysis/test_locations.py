"""Where results are written and read, and wrong paths found before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis import locations
from paradigm_bench.benchmarks.analysis.locations import OWN, PUBLISHED, check_writable, is_published, to_read, to_write
from paradigm_bench.common.errors import UserError

ROOT = Path(__file__).parents[4]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with a repository of its own beside it."""
    monkeypatch.setattr(locations, "PUBLISHED", tmp_path.resolve() / "clone" / "results")
    (tmp_path / "clone" / "results").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def give_record(results: Path) -> None:
    (results / "quickstart" / "records").mkdir(parents=True)
    (results / "quickstart" / "records" / "0123456789ab-1.json").write_text("{}")


def test_the_repository_publishes_its_own_results() -> None:
    assert PUBLISHED == ROOT / "results"
    assert is_published(ROOT / "results")
    assert is_published(ROOT / "results" / "quickstart")
    assert not is_published(ROOT / "my_results")
    assert not is_published(ROOT)


def test_own_results_are_the_default(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert to_write() == OWN
    assert to_write(Path("elsewhere/new")) == Path("elsewhere/new")
    assert not list(Path().iterdir())
    assert not capsys.readouterr().err


@pytest.mark.parametrize("given", ["../clone/results", "../clone/results/quickstart", "../clone/x/../results", "link"])
def test_published_results_are_written_only_when_asked_for(
    place: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("link").symlink_to("../clone/results")
    with pytest.raises(UserError, match="what this repository publishes; choose another --results, or add --publish"):
        to_write(Path(given))
    assert to_write(Path(given), publish=True) == Path(given)
    assert f"publishing: results are written to {given}" in capsys.readouterr().err


def test_publishing_needs_no_folder_and_takes_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_write(publish=True) == locations.PUBLISHED
    monkeypatch.chdir(place / "clone")
    assert to_write(publish=True) == Path("results")
    with pytest.raises(UserError, match="--publish writes to results, not to mine"):
        to_write(Path("mine"), publish=True)


def test_own_results_that_lead_into_the_published_ones_are_refused(place: Path) -> None:
    OWN.symlink_to("../clone/results")
    with pytest.raises(UserError, match="my_results is what this repository publishes"):
        to_write()


def test_reading_prefers_what_is_given_then_own_then_published(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert to_read() == locations.PUBLISHED
    Path("results").mkdir()
    OWN.mkdir()
    assert to_read() == Path("results")
    give_record(OWN)
    assert capsys.readouterr().err.splitlines()[-1] == "reading results (to read another folder, give --results)"
    assert to_read() == OWN
    assert capsys.readouterr().err == "reading my_results (to read another folder, give --results)\n"
    assert to_read(Path("results")) == Path("results")
    assert not capsys.readouterr().err


def test_a_folder_to_read_must_be_one(place: Path) -> None:
    Path("file").touch()
    with pytest.raises(UserError, match="--results: file is a file, not a folder; give the folder"):
        to_read(Path("file"))
    with pytest.raises(UserError, match="--results: no such folder: nowhere; give"):
        to_read(Path("nowhere"))


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("folder", "file", "--out folder: this is a folder; give the name of a file, for example folder/NAME"),
        ("file", "folder", "--out file: this is a file; give the name of a folder"),
        ("file/x/y", "file", "--out file/x/y: .*file is not a folder"),
        ("file/x", "folder", "--out file/x: file is not a folder"),
        ("dangling/x", "file", "--out dangling/x: dangling is not a folder"),
        ("/proc/nothing/x", "file", "--out /proc/nothing/x: cannot write in /proc"),
    ],
)
def test_a_path_that_cannot_be_written_is_found_at_once(place: Path, path: str, kind: str, message: str) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    Path("dangling").symlink_to("gone")
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError, match=message):
        check_writable(Path(path), kind)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_found_at_once(place: Path) -> None:
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"--out closed/x: cannot write in closed \(Permission denied\)"):
        check_writable(Path("closed/x"), "file")
    with pytest.raises(UserError, match="--results closed: cannot write in closed"):
        to_write(Path("closed"))


@pytest.mark.parametrize(("path", "kind"), [("x", "file"), ("new/deep/x", "file"), ("new", "folder"), (".", "folder")])
def test_what_can_be_written_is_not_touched(place: Path, path: str, kind: str) -> None:
    assert check_writable(Path(path), kind) == Path(path)
    assert not list(Path().iterdir())


def test_results_are_checked_before_the_work(place: Path) -> None:
    Path("file").touch()
    with pytest.raises(UserError, match="--results file: this is a file"):
        to_write(Path("file"))


def test_an_installed_package_has_no_published_results(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "PUBLISHED", place / "site-packages" / "paradigm_bench" / "results")
    assert to_read() == OWN
    with pytest.raises(UserError, match="--publish writes into a checkout of the repository, and this is none"):
        to_write(publish=True)
    Path("results").mkdir()
    assert to_read() == Path("results")
