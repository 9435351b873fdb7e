"""``bench verify`` on the fake axis: what repeats, what does not, what is refused."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from record_toys import a_record

from paradigm_bench.benchmarks.analysis.packs import PACK
from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import main, status
from paradigm_bench.benchmarks.cli.verify import summary
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.run.verify import differences
from paradigm_bench.benchmarks.study.axis import AXES
from paradigm_bench.common.files import json_text

ROOT = Path(__file__).parents[4]
ARMS = "[{paradigm: a, options: {does: work}}, {paradigm: b, options: {does: unsupported}}]"
STUDY = f"title: T\naxis: 'fake_axis:FakeAxis'\narms: {ARMS}\n"


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Arm -> its record, made by a command line with options that matter."""
    (tmp_path / "s.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "run", "s.yaml", "--set", "train.lr=3e-3", "--seed", "4"])
    with pytest.raises(SystemExit):
        main()
    records, _ = load_records(tmp_path / "my_results" / "s")
    return {r.system: tmp_path / "my_results" / "s" / "records" / f"{r.stem}.json" for r in records}


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def without_how(path: Path) -> None:
    """Make the record one of before the field ``how``."""
    data = json.loads(path.read_text())
    del data["how"]
    path.write_text(json_text(data))


def test_what_repeats_and_what_does_not(recorded: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded["a"]
    files = sorted(path.parent.rglob("*"))
    assert status(["verify", str(path)]) == 0
    assert "1 of 1 metrics repeat to the last digit" in capsys.readouterr().out
    assert sorted(path.parent.rglob("*")) == files
    spoil(path, '"value": 1.5', '"value": 1.5001')
    assert status(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    assert "0 of 1 metrics repeat to the last digit" in out
    assert re.search(r"score +value +1\.5001 +1\.5 +6\.7e-05", out)
    assert status(["verify", str(path), "--tolerance", "1e-4"]) == 0
    spoil(path, '"n": 4', '"n": 5')
    assert status(["verify", str(path), "--tolerance", "1e-4"]) == 1
    assert "score   n" in capsys.readouterr().out


def test_a_packed_record_is_verified_under_the_same_names(
    recorded: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded["a"]
    folder = path.parent.parent
    assert status(["pack", "--results", str(folder.parent)]) == 0
    held = (folder / PACK).read_bytes()
    for name in (path, folder / path.stem):
        assert status(["verify", str(name)]) == 0
        assert "1 of 1 metrics repeat to the last digit" in capsys.readouterr().out
    assert (folder / PACK).read_bytes() == held
    assert not (folder / "records").exists()
    assert status(["verify", str(folder / PACK)]) == 2
    assert "holds many records; name one of them" in capsys.readouterr().err


def test_other_weights_and_machines_are_told(recorded: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded["a"]
    spoil(path, '"loss": [\n    3.0', '"loss": [\n    3.5')
    spoil(path, '"numpy": "', '"numpy": "0.')
    assert status(["verify", str(path)]) == 0
    out = capsys.readouterr().out
    assert "The loss curves part at update 1" in out
    assert "Recorded under other conditions: numpy 0." in out


def test_a_record_needs_neither_its_command_nor_its_study(
    recorded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded["a"]
    spoil(path, '"command": "bench run s.yaml', '"command": "cp nonsense.yaml')
    (tmp_path / "s.yaml").unlink()
    assert status(["verify", str(path)]) == 0
    assert "1 of 1 metrics repeat to the last digit" in capsys.readouterr().out
    spoil(path, '"value": 1.5', '"value": 2.5')
    assert status(["verify", str(path)]) == 1


def test_content_that_is_another_here_is_refused(
    recorded: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"does": "work", "data": {"corpus": {"fingerprint": "feed"}}}
    monkeypatch.setattr(AXES.load("fake_axis:FakeAxis"), "content", lambda self, cell: here)
    assert status(["verify", str(recorded["a"])]) == 2
    told = capsys.readouterr().err
    assert "cannot be repeated here, for its content differs: data.corpus.fingerprint None (here 'feed'); bring" in told


def test_an_older_record_is_found_by_its_command_and_refused_where_its_cell_is_gone(
    recorded: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded["a"]
    without_how(path)
    assert status(["verify", str(path)]) == 0
    spoil(path, "train.lr=3e-3", "train.lr=2e-3")
    assert status(["verify", str(path)]) == 2
    assert "the study has no such cell: lr 0.003 (here 0.002)" in capsys.readouterr().err
    spoil(path, "train.lr=2e-3", "train.lr=3e-3")
    (tmp_path / "s.yaml").rename(tmp_path / "t.yaml")
    assert status(["verify", str(path)]) == 2
    assert "no study 's.yaml'" in (told := capsys.readouterr().err)
    assert "bench run s.yaml" in told
    assert status(["verify", str(path), "--study", str(tmp_path / "t.yaml")]) == 0
    spoil(path, '"command": "bench run', '"command": "bench walk')
    assert status(["verify", str(path)]) == 2
    assert "runs no study" in capsys.readouterr().err


def test_damaged_fields_are_refused_in_one_line(
    recorded: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded["a"]
    monkeypatch.setattr(AXES.load("fake_axis:FakeAxis"), "content", lambda self, cell: cell.how["sources"])
    assert status(["verify", str(path)]) == 2
    assert "its field 'how' is damaged ('sources'); give the study's file by --study" in capsys.readouterr().err
    without_how(path)
    spoil(path, '"command": "bench run', '"command": "bench \'run')
    assert status(["verify", str(path)]) == 2
    assert "cannot be read (No closing quotation); restore the record" in capsys.readouterr().err


def test_what_has_no_figures_or_only_times_is_refused(
    recorded: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(["verify", str(recorded["b"])]) == 2
    assert "its status is 'unsupported'" in capsys.readouterr().err
    monkeypatch.setattr(AXES.load("fake_axis:FakeAxis"), "exclusive", True)
    assert status(["verify", str(recorded["a"])]) == 2
    assert "differ from run to run" in capsys.readouterr().err


def test_an_older_record_is_compared_in_what_it_has() -> None:
    then = metric(1.0, low=0.5, high=1.5, n=8)
    now = metric(1.0, low=0.4, high=1.6, n=8)
    old = a_record(metrics={"fad": then}, environment={"scoring": {}})
    new = {"fad": now, "peak": metric(0.3, n=8)}
    here = a_record(metrics=new, environment={"scoring": {"intervals": "t"}})
    assert differences(old, here) == []
    same_rule = a_record(metrics=new, environment={"scoring": {}})
    assert [(one.metric, one.part) for one in differences(old, same_rule)] == [("fad", "low"), ("fad", "high")]
    other = a_record(metrics={"fad": metric(1.1, n=8)}, environment={"scoring": {"intervals": "t"}})
    assert [(one.metric, one.part) for one in differences(old, other)] == [("fad", "value")]
    gone = a_record(metrics={}, environment={"scoring": {"intervals": "t"}})
    assert [(one.metric, one.part) for one in differences(old, gone)] == [("fad", "value"), ("fad", "n")]
    told = summary(old, [], 0.0, None, [], intervals=False)
    assert "1 of 1 metrics repeat to the last digit, n too" in told
    assert "Intervals were not compared" in told
