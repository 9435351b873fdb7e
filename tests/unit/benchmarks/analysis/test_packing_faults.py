"""Packing under crashes, and packs that are cut off, damaged, foreign or of another schema version: nothing is lost."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from record_toys import FIGURES, ROWS, a_record, a_study, files_in, spread, study, told

from paradigm_bench.benchmarks.analysis import packing, packs
from paradigm_bench.benchmarks.analysis.collect import collect
from paradigm_bench.benchmarks.analysis.packing import pack, unpack
from paradigm_bench.benchmarks.analysis.packs import PACK, studies_in
from paradigm_bench.benchmarks.analysis.records import check_records, load_records, read_items, save_record
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import json_text, write_text

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))


# Crashes


@pytest.mark.parametrize("left", range(8))
def test_a_crash_between_append_and_delete_loses_and_doubles_nothing(
    tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_study(tmp_path / "s", seeds=2)
    before, seen = files_in(tmp_path / "s"), told(tmp_path / "s")
    unlink, deleted = Path.unlink, list[Path]()

    def crash(path: Path, missing_ok: bool = False) -> None:
        if path.suffix in (".json", ".csv", ".txt"):
            if len(deleted) == left:
                raise KeyboardInterrupt
            deleted.append(path)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            pack(tmp_path / "s")
    assert len(deleted) == left
    assert told(tmp_path / "s") == seen
    assert not collect(tmp_path).problems
    moved = pack(tmp_path / "s")  # deletes what the first one left
    assert (moved.records, moved.left) == (0, [])
    assert told(tmp_path / "s") == seen
    unpack(tmp_path / "s")
    assert files_in(tmp_path / "s") == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_crash_before_the_pack_is_whole_changes_nothing(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    spread(tmp_path / "s")
    a_study(tmp_path / "s")
    before = files_in(tmp_path / "s")

    def crash(*where: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises((KeyboardInterrupt, UserError)):
        pack(tmp_path / "s")
    assert files_in(tmp_path / "s") == before


def test_what_does_not_read_back_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_study(tmp_path)
    before = files_in(tmp_path)
    encoded = packs.encoded
    monkeypatch.setattr(packs, "encoded", lambda lines: encoded(lines)[:-20])
    with pytest.raises(UserError, match="does not read back as it was written; nothing was deleted"):
        pack(tmp_path)
    assert files_in(tmp_path) == before


def test_a_crash_while_unpacking_is_made_good_by_the_next_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_study(tmp_path)
    before = files_in(tmp_path)
    pack(tmp_path)
    seen, written = told(tmp_path), list[Path]()

    def crash(path: Path, text: str) -> None:
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(path)
        write_text(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(packing, "write_text", crash)
        with pytest.raises(KeyboardInterrupt):
            unpack(tmp_path)
    assert told(tmp_path) == seen
    unpack(tmp_path)
    assert files_in(tmp_path) == before


# Files that are cut off or damaged


def cuts(members: list[int]) -> dict[str, tuple[int, int]]:
    """Name of a place in a file of three members -> where it is, and how many whole records lie before it."""
    one, two, three = members
    return {
        "nothing left": (0, 0),
        "in the first header": (5, 0),
        "in the first record": (one // 2, 0),
        "in the first checksum": (one - 4, 1),
        "in the second header": (one + 3, 1),
        "in the second record": ((one + two) // 2, 1),
        "in the last record": ((two + three) // 2, 2),
        "in the last checksum": (three - 1, 3),
    }


@pytest.mark.parametrize("where", cuts([8, 16, 24]))
def test_a_pack_that_is_cut_off_is_told_in_a_line_and_gives_what_lies_before(
    tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    members = []
    for seed in range(3):
        save_record(tmp_path / "s", a_record(seed, metrics=FIGURES), ROWS)
        pack(tmp_path / "s")
        members.append((tmp_path / "s" / PACK).stat().st_size)
    path = tmp_path / "s" / PACK
    whole = path.read_bytes()
    place, count = cuts(members)[where]
    path.write_bytes(whole[:place])
    records, (line,) = load_records(tmp_path / "s")
    assert [record.seed for record in records] == list(range(count))
    assert all(len(read_items(tmp_path / "s", record)) == 2 for record in records)
    assert line.startswith(f"{path} is cut off after {count} record")
    assert (
        f"restore it from git or from a copy, or keep what can be read with: bench pack s --undo --results {tmp_path}"
        in line
    )
    assert studies_in(tmp_path) == ["s"]
    if count:
        assert collect(tmp_path).problems == [line]
    for refused in (check_records, pack):
        with pytest.raises(UserError, match="is cut off after"):
            refused(tmp_path / "s")
    save_record(tmp_path / "s", a_record(5), ROWS)
    before = files_in(tmp_path / "s")
    assert status(["pack", "--results", str(tmp_path)]) == 2
    assert line in capsys.readouterr().err
    assert files_in(tmp_path / "s") == before
    assert status(["pack", "s", "--undo", "--results", str(tmp_path)]) == 0  # as the line says
    assert [record.seed for record in load_records(tmp_path / "s")[0]] == [*range(count), 5]
    assert load_records(tmp_path / "s")[1] == []
    assert (tmp_path / "s" / f"{PACK}.broken").read_bytes() == whole[:place]
    pack(tmp_path / "s")
    assert len(load_records(tmp_path / "s")[0]) == count + 1


def test_records_before_a_cut_in_one_large_member_are_read(tmp_path: Path) -> None:
    for seed in range(40):
        save_record(tmp_path, a_record(seed, created=f"{seed:03}", reason=os.urandom(200).hex()))
    pack(tmp_path)
    whole = (tmp_path / PACK).read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / PACK).write_bytes(whole[: int(share * len(whole))])
        records, (line,) = load_records(tmp_path)
        assert abs(len(records) - share * 40) < 5
        assert f"is cut off after {len(records)} record" in line


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:],
        lambda data: data + b"<<<<<<< HEAD",
        lambda data: data + bytes(100),
        lambda data: data + gzip.compress(b'{"record": 1}\n{"a": 2}\n'),
        lambda data: data + gzip.compress(b"no JSON"),
        lambda data: b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_a_damaged_pack_is_told_and_kept(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    spread(tmp_path / "s")
    path = tmp_path / "s" / PACK
    path.write_bytes(spoil(path.read_bytes()))
    records, (line,) = load_records(tmp_path / "s")
    assert line.startswith(f"{path} is damaged after {len(records)} record")
    with pytest.raises(UserError, match="is damaged after"):
        pack(tmp_path / "s")
    kept = path.read_bytes()
    unpack(tmp_path / "s")
    assert load_records(tmp_path / "s") == (records, [])
    assert (tmp_path / "s" / f"{PACK}.broken").read_bytes() == kept


@pytest.mark.parametrize("name", ["../x.json", "/tmp/x.json", "records/../../x.json", "..\\x.json", "c:x.json"])
def test_a_pack_from_outside_writes_only_into_its_folder(tmp_path: Path, name: str) -> None:
    saved = save_record(tmp_path / "s", a_record())
    data = json.loads((tmp_path / "s" / "records" / f"{saved.stem}.json").read_text())
    (tmp_path / "s" / "records" / f"{saved.stem}.json").unlink()
    (tmp_path / "s" / PACK).write_bytes(packs.encoded([(data, {name: "x"})]))
    before = files_in(tmp_path)
    with pytest.raises(UserError, match="names a file outside of its folder"):
        unpack(tmp_path / "s")
    (tmp_path / "s" / PACK).write_bytes(packs.encoded([({**data, "id": f"../{name}/y"}, {})]))
    before = files_in(tmp_path)
    with pytest.raises(UserError, match="names a file outside of its folder"):
        unpack(tmp_path / "s")
    assert files_in(tmp_path) == before


def test_a_file_that_differs_from_what_is_packed_is_never_lost(tmp_path: Path) -> None:
    saved = save_record(tmp_path, a_record(), ROWS)
    pack(tmp_path)
    path = tmp_path / "records" / f"{saved.stem}.json"
    other = json_text(json.loads(json.dumps(dataclasses.asdict(saved))) | {"reason": "another run's"})
    write_text(path, other)
    (record,), problems = load_records(tmp_path)
    assert (record.reason, problems) == ("another run's", [])
    (line,) = pack(tmp_path).left
    assert line == f"{path} differs from what is packed under this name; move it elsewhere if not wanted"
    with pytest.raises(UserError, match="differs from the packed record of this name; move it elsewhere"):
        unpack(tmp_path)
    assert path.read_text() == other
    path.unlink()
    assert load_records(tmp_path)[0] == [saved]


# Another schema version


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("count", "told"), [(1, "schema version 2"), (24, "24 records have schema version 2")])
def test_records_of_another_schema_are_one_line_and_no_run_measures_beside_them(
    tmp_path: Path, packed: bool, count: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "s"
    save_record(folder, a_record(50))
    foreign = []
    for seed in range(count):
        saved = save_record(folder, a_record(seed), ROWS)
        path = folder / "records" / f"{saved.stem}.json"
        foreign.append({**json.loads(path.read_text()), "schema_version": 2, "news": 1})
        path.unlink() if packed else path.write_text(json_text(foreign[-1]))
    if packed:
        (folder / PACK).write_bytes(packs.encoded([(data, {}) for data in foreign]))
        packed_bytes = (folder / PACK).read_bytes()
    records, (line,) = load_records(folder)
    assert len(records) == 1
    assert line.startswith(str(folder))
    assert told in line
    assert line.endswith("this program reads 1; use the version of the program that wrote "
                         + ("it" if count == 1 else "them") + ", or another results folder")  # fmt: skip
    assert collect(tmp_path / "results").problems[-1] == line
    with pytest.raises(UserError, match="schema version 2, this program reads 1"):
        check_records(folder)
    before = files_in(tmp_path / "results")
    assert status(["run", *study(tmp_path), "--results", str(tmp_path / "results")]) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert files_in(tmp_path / "results") == before
    if packed:
        with pytest.raises(UserError, match="schema version 2"):
            unpack(folder)
        assert (folder / PACK).read_bytes() == packed_bytes


def test_a_record_of_a_schema_without_ids_is_told_too(tmp_path: Path) -> None:
    (tmp_path / PACK).write_bytes(packs.encoded([({"schema_version": 3, "cell": {}}, {})]))
    assert load_records(tmp_path)[0] == []
    assert "schema version 3" in load_records(tmp_path)[1][0]
    with pytest.raises(UserError, match="schema version 3"):
        unpack(tmp_path)
