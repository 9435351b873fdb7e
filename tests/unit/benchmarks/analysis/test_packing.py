"""``bench pack``: nothing is lost, and every reader finds packed records as it finds files."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from record_toys import FIGURES, ROWS, a_record, a_study, files_in, spread, told

from paradigm_bench.benchmarks.analysis import packing, packs
from paradigm_bench.benchmarks.analysis.collect import collect
from paradigm_bench.benchmarks.analysis.packing import pack, unpack
from paradigm_bench.benchmarks.analysis.packs import PACK, record_path
from paradigm_bench.benchmarks.analysis.records import (
    all_records,
    artefact,
    chosen_studies,
    load_records,
    read_items,
    read_record,
    read_text,
    record_file,
    save_record,
)
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.report import write_study
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import write_text

ROOT = Path(__file__).parents[4]
# Lossless, both ways


def test_packed_and_unpacked_again_the_files_are_the_same_bytes(tmp_path: Path) -> None:
    records = a_study(tmp_path / "s")
    before, seen = files_in(tmp_path / "s"), told(tmp_path / "s")
    assert pack(tmp_path / "s") == packing.Moved(len(records), 2 * 5 + 2 * 3 - 1)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["audio", PACK]
    assert told(tmp_path / "s") == seen
    assert unpack(tmp_path / "s").left == []
    assert files_in(tmp_path / "s") == before
    assert told(tmp_path / "s") == seen


def test_the_same_records_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        a_study(tmp_path / name)
        pack(tmp_path / name)
        time.sleep(0.02)
    assert (tmp_path / "a" / PACK).read_bytes() == (tmp_path / "b" / PACK).read_bytes()
    again = (tmp_path / "a" / PACK).read_bytes()
    assert pack(tmp_path / "a") == packing.Moved(0, 0)
    assert (tmp_path / "a" / PACK).read_bytes() == again


def test_each_call_appends_a_member_and_undo_gives_back_all(tmp_path: Path) -> None:
    before, packed = {}, b""
    for seed in range(3):
        save_record(tmp_path, a_record(seed), [{"item": "p", "kl": float(seed)}])
        before |= {name: content for name, content in files_in(tmp_path).items() if name != PACK}
        pack(tmp_path)
        assert (tmp_path / PACK).read_bytes().startswith(packed)
        packed = (tmp_path / PACK).read_bytes()
        assert len(load_records(tmp_path)[0]) == seed + 1
    lines = gzip.decompress(packed).decode().split("\n")
    assert [json.loads(line)["record"]["seed"] for line in lines[:-1]] == [0, 1, 2]  # the form that docs promise
    assert list(json.loads(lines[0])["files"]) == [f"records/{a_record(0).id}-1.items.csv"]
    unpack(tmp_path)
    assert files_in(tmp_path) == before


def test_new_attempts_after_packing_are_numbered_on(tmp_path: Path) -> None:
    first = save_record(tmp_path, a_record(status="failed"), ROWS)
    pack(tmp_path)
    second = save_record(tmp_path, a_record(), ROWS)
    assert (first.attempt, second.attempt) == (1, 2)
    pack(tmp_path)
    assert save_record(tmp_path, a_record()).attempt == 3
    assert [r.attempt for r in load_records(tmp_path)[0]] == [1, 2, 3]
    assert [r.attempt for r in load_records(tmp_path, {first.id})[0]] == [1, 2, 3]
    assert load_records(tmp_path, {"other"}) == ([], [])


def test_an_artefact_that_a_later_attempt_wrote_again_counts_as_it_is_now(tmp_path: Path) -> None:
    named = a_record(artefacts={"chords": "chords/a.json"})
    for content in ("1\n", "2\n"):
        write_text(tmp_path / "chords" / "a.json", content)
        save_record(tmp_path, named)
        assert read_text(tmp_path, "chords/a.json") == content
        pack(tmp_path)
        assert read_text(tmp_path, "chords/a.json") == content
    unpack(tmp_path)
    assert (tmp_path / "chords" / "a.json").read_text() == "2\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("0.30000000000000004", "0.300000000000000040"), "the way this program writes"),
        (lambda text: text.replace('"seed": 0', '"seed":  0'), "the way this program writes"),
        (lambda text: text + "\n", "the way this program writes"),
        (lambda text: text.replace("\n", "\r\n"), "the way this program writes"),
        (lambda text: text[:50], "cannot read"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema version 2"),
        (lambda text: '{"a": 1}\n', "not a record"),
    ],
)
def test_what_could_not_be_given_back_stays_a_file(
    tmp_path: Path, spoil: Callable[[str], str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_record(tmp_path / "s", a_record(1), ROWS)
    saved = save_record(tmp_path / "s", a_record(0, metrics=FIGURES), ROWS)
    path = tmp_path / "s" / "records" / f"{saved.stem}.json"
    spoiled = spoil(path.read_text())
    assert spoiled != path.read_text()
    path.write_bytes(spoiled.encode())
    before = files_in(tmp_path / "s")
    assert status(["pack", "--results", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not packed: ")]
    assert str(path) in line
    assert message in line
    assert path.read_bytes() == spoiled.encode()
    assert (tmp_path / "s" / "records" / f"{saved.stem}.items.csv").is_file()
    assert status(["pack", "--undo", "--results", str(tmp_path)]) == 0
    assert files_in(tmp_path / "s") == before


def test_an_artefact_that_is_no_text_keeps_its_record_as_files(tmp_path: Path) -> None:
    saved = save_record(tmp_path, a_record(artefacts={"chords": "chords/a.json"}))
    (tmp_path / "chords").mkdir()
    (tmp_path / "chords" / "a.json").write_bytes(b"\xff\xfe")
    before = files_in(tmp_path)
    (line,) = pack(tmp_path).left
    assert f"{saved.stem}.json" in line
    assert "not UTF-8 text" in line
    assert files_in(tmp_path) == before


# Readers


def test_collect_and_all_that_lists_records_say_the_same_of_files_and_of_a_pack(tmp_path: Path) -> None:
    for name in ("a", "b"):
        a_study(tmp_path / name)
    write_text(tmp_path / "a" / "records" / "notes.txt", "x")
    write_text(tmp_path / "b" / "records" / "lost-1.items.csv", "item\n")

    def collected() -> object:
        found = collect(tmp_path, columns=["cell.seed"])
        return found.table.to_pylist(), found.counts, found.records, found.problems

    def shared() -> object:
        return all_records(tmp_path), chosen_studies(tmp_path), chosen_studies(tmp_path, ["b"])

    before = collected(), shared()
    for name in ("a", "b"):
        pack(tmp_path / name)
        assert (collected(), shared()) == before
    save_record(tmp_path / "a", a_record(9), ROWS)
    assert collect(tmp_path).records == before[0][2] + 1  # type: ignore[index]


def test_a_page_and_its_figures_are_the_same_from_files_and_from_a_pack(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "golden" / "records" / "inpainting", tmp_path / "inpainting")
    seen = []
    for change in (unpack, pack):
        change(tmp_path / "inpainting")
        write_study(tmp_path, "inpainting")
        page = (tmp_path / "inpainting" / "README.md").read_text()
        figures = files_in(tmp_path / "inpainting" / "figures")
        seen.append((re.sub(r"\]\(records[^)]*\)", "](R)", page), figures))
        shutil.rmtree(tmp_path / "inpainting" / "figures")
    assert seen[0] == seen[1]
    assert any("span" in name for name in seen[0][1])  # drawn from an artefact


def test_a_record_is_named_the_same_way_packed_or_not(tmp_path: Path) -> None:
    saved = save_record(tmp_path / "s", a_record(), ROWS)
    file = tmp_path / "s" / "records" / f"{saved.stem}.json"
    names = [file, file.with_suffix(""), tmp_path / "s" / saved.stem]
    for packed in (False, True):
        if packed:
            pack(tmp_path / "s")
        assert [read_record(record_path(name)) for name in names] == [saved] * 3
        assert record_file(tmp_path / "s", saved) == (tmp_path / "s" / PACK if packed else file)
    with pytest.raises(UserError, match=f"no such file or packed record: .*{saved.id}-2"):
        read_record(record_path(tmp_path / "s" / f"{saved.id}-2"))
    with pytest.raises(UserError, match="holds many records; name one of them"):
        record_path(tmp_path / "s" / PACK)


def test_artefacts_of_another_study_are_found_in_its_pack(tmp_path: Path) -> None:
    write_text(tmp_path / "first" / "chords" / "a.json", "{}\n")
    save_record(tmp_path / "first", a_record(artefacts={"chords": "chords/a.json"}))
    copy = save_record(tmp_path / "second", a_record(artefacts={"chords": "../first/chords/a.json"}))
    for name in ("none", "first", "second"):
        pack(tmp_path / name) if name != "none" else None
        assert artefact(tmp_path / "second", copy, "chords") == "{}\n"
    assert artefact(tmp_path / "second", copy, "spans") is None
    with pytest.raises(UserError, match=r"first/chords/b\.json is gone; restore it"):
        read_text(tmp_path / "second", "../first/chords/b.json")


def test_scores_that_are_gone_are_told(tmp_path: Path) -> None:
    saved = save_record(tmp_path, a_record(), ROWS)
    (tmp_path / saved.artefacts["items"]).unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=r"per-item scores: .*items\.csv is gone"):
            read_items(tmp_path, load_records(tmp_path)[0][0])
        pack(tmp_path)


def test_a_pack_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread(tmp_path)
    reads: list[Path] = []
    read = packs.read
    monkeypatch.setattr(packs, "read", lambda path: reads.append(path) or read(path))
    for record in load_records(tmp_path)[0] * 3:
        read_items(tmp_path, record)
    assert len(reads) <= 1
    save_record(tmp_path, a_record(7), ROWS)
    pack(tmp_path)
    assert len(load_records(tmp_path)[0]) == 4


# The command


def test_the_command_packs_what_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        a_study(tmp_path / name)
    assert status(["pack", "b", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "b: 5 records packed from 15 files\n"
    assert not (tmp_path / "a" / PACK).exists()
    assert status(["pack", "c", "--results", str(tmp_path)]) == 2
    assert "no study 'c'" in capsys.readouterr().err
    assert status(["pack", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "a: 5 records packed from 15 files\n"
    assert status(["pack", "--undo", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: 5 records unpacked to 15 files" for name in "ab"]


def test_one_study_that_is_refused_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        a_study(tmp_path / name)
    pack(tmp_path / "a")
    (tmp_path / "a" / PACK).write_bytes((tmp_path / "a" / PACK).read_bytes()[:-3])
    assert status(["pack", "--results", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "b: 5 records packed from 15 files\n"
    assert f"left as it is: {tmp_path / 'a' / PACK} is cut off after 5 records" in captured.err
