"""``bench score``: which files are pairs, decided from names alone, and captions by the names that datasets give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.evaluators.folders.captions import read_captions
from paradigm_bench.benchmarks.evaluators.folders.pairing import match_names
from paradigm_bench.benchmarks.evaluators.folders.remarks import unknown_words
from paradigm_bench.common.errors import UserError


def files(*names: str) -> dict[str, Path]:
    return {name: Path(f"{name}.wav") for name in names}


TWENTY = [f"clip{i:02d}" for i in range(20)]


def test_one_misnamed_file_of_twenty_leaves_nineteen_pairs_and_is_named() -> None:
    found = match_names(files(*TWENTY), files(*TWENTY[:7], "clp07", *TWENTY[8:]))
    assert found.paired
    assert list(found.reference) == list(found.generated) == [*TWENTY[:7], *TWENTY[8:]]
    text = "\n".join(found.notes)
    assert "19 pairs; left out without a partner: 1 reference and 1 generated file" in text
    assert "reference: clip07 (did you mean 'clp07'?)" in text
    assert "generated: clp07 (did you mean 'clip07'?)" in text
    assert "--unpaired" in text


def test_names_that_mostly_differ_are_two_sets_and_it_is_said() -> None:
    found = match_names(files(*TWENTY), files(*TWENTY[:9], *(f"song{i}" for i in range(11))))
    assert not found.paired
    assert len(found.reference) == len(found.generated) == 20
    assert found.notes[0].startswith("not paired: only 9 of 20 files share a name")
    assert match_names(files("a", "b"), files("c", "d")).notes == []


def test_pairs_can_be_refused() -> None:
    found = match_names(files(*TWENTY), files(*TWENTY), may_pair=False)
    assert not found.paired
    assert found.notes == []


def test_sizes_are_checked_before_anything_is_read() -> None:
    with pytest.raises(UserError, match=r"20 reference files, 3 generated: .* or --n 3 to draw"):
        match_names(files(*TWENTY), files("x", "y", "z"))
    with pytest.raises(UserError, match=r"20 reference files, 2 generated: .* or --n 2 to draw"):
        match_names(files(*TWENTY), files("x", "y"))
    with pytest.raises(UserError, match=r"20 reference files, 1 generated: .* at least two clips in each set$"):
        match_names(files(*TWENTY), files("x"))
    with pytest.raises(UserError, match="--n 4: only 3 files of each set"):
        match_names(files(*TWENTY), files("x", "y", "z"), n=4)
    assert len(match_names(files(*TWENTY), files("x", "y", "z"), n=2).reference) == 20  # drawn by content later


def table(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "captions.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        ("path,caption", "a/one.wav,a dog", ["a/one", "one"]),
        ("file_name,text", "a/one.wav,a dog", ["a/one", "one"]),
        ("file_name,caption,split", "one.mp3,a dog,test", ["one"]),
        ("file_name,caption_1,caption_2,caption_3,caption_4,caption_5", "Some dog 1.wav,a dog,b,c,d,e", ["Some dog 1"]),
        (
            "audiocap_id,youtube_id,start_time,caption",
            "58146,-xY_9,30,a dog",
            ["-xY_9", "-xY_9_30", "Y-xY_9", "-xY_9_30_40", "-xY_9_30000_40000", "58146", "test/-xY_9"],
        ),
        (
            "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id",
            "-0Gj8-vB1q4,30,40,\"/m/04rlf\",'[x]',a dog,4",
            ["-0Gj8-vB1q4", "[-0Gj8-vB1q4]-[30-40]", "-0Gj8-vB1q4_30", "-0Gj8-vB1q4_30_40", "-0Gj8-vB1q4-30-40"],
        ),
    ],
)
def test_tables_of_datasets_are_known_by_their_header(
    tmp_path: Path, header: str, row: str, names: Sequence[str]
) -> None:
    found = read_captions(table(tmp_path, header, row))
    for name in names:
        assert found.of([name]) == {name: "a dog"}


def test_json_lines_of_hugging_face_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    rows = [{"file_name": f"{i}.wav", "text": f"tune {i}", "tags": ["x"]} for i in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_captions(path).of(["0", "2"]) == {"0": "tune 0", "2": "tune 2"}


def test_several_captions_of_a_clip_are_said_and_the_first_is_taken(tmp_path: Path) -> None:
    header = "audiocap_id,youtube_id,start_time,caption"
    found = read_captions(table(tmp_path, header, "1,abc,30,first", "2,abc,30,second"))
    assert found.of(["abc", "abc_30"]) == {"abc": "first", "abc_30": "first"}
    assert found.notes() == ["captions: AudioCaps has several for a clip; the first is taken"]
    assert read_captions(table(tmp_path, "path,caption", "a.wav,x")).notes() == []


def test_a_name_that_fits_two_rows_is_refused_and_a_precise_one_is_not(tmp_path: Path) -> None:
    header = "ytid,start_s,end_s,caption"
    found = read_captions(table(tmp_path, header, "abc,0,10,first", "abc,30,40,second", "other,0,10,third"))
    assert found.of(["abc_30", "other"]) == {"abc_30": "second", "other": "third"}
    with pytest.raises(UserError, match="abc fits 2 rows with different captions"):
        found.of(["abc"])
    found = read_captions(table(tmp_path, "path,caption", "a/1.wav,first", "b/1.wav,second", "1.wav,third"))
    assert found.of(["1", "b/1"]) == {"1": "third", "b/1": "second"}


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            "name,words",
            ["a.wav,b"],
            r"name, words are those of no known table; give path, caption \(manifest\)",
        ),
        ("path,caption", ["a.wav,b", "a.flac,c"], "row 2: a has a caption already"),
        ("file_name,text", ["a.wav,"], "row 1, column text: empty"),
        ("ytid,start_s,end_s,caption", ["abc,zero,10,x"], "column start_s: 'zero' is no number of seconds"),
        ("path,caption", [], "no rows"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_captions(table(tmp_path, header, *rows))


def test_files_without_a_caption_are_counted_and_the_nearest_name_is_told(tmp_path: Path) -> None:
    found = read_captions(table(tmp_path, "path,caption", "clip01.wav,x", "clip02.wav,y"))
    with pytest.raises(UserError, match=r"no caption for clp02 .did you mean 'clip02'.., one of 2 files without"):
        found.of(["clip01", "clp02", "zzz"])
    with pytest.raises(UserError, match=r"not a .csv or .jsonl file"):
        read_captions(tmp_path / "captions.txt")


def test_the_share_of_unknown_words_counts_words_and_not_punctuation() -> None:
    captions = ["a dog barks, loudly", "a dog sleeps."]
    assert unknown_words(captions, ["a", "dog"], "builtin") == [
        "captions: 43% of the words are unknown to builtin (barks, loudly, sleeps); clap_builtin reads only the rest"
    ]
    assert unknown_words(captions, ["a", "dog", "barks", "loudly", "sleeps"], "builtin") == []
    assert "100% of the words" in unknown_words(["x y"], [], "builtin")[0]
    assert "clap_builtin says nothing" in unknown_words(["x y"], [], "builtin")[0]
