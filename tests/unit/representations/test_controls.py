"""Vocabularies of the controls, and labels to tokens."""

from __future__ import annotations

import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora.chord_labels import read_label, to_harte
from paradigm_bench.representations.latents.controls import (
    NO_NOTE,
    chord_label,
    chord_labels,
    chord_token,
    control_specs,
    melody_token,
    parse_chords,
)
from paradigm_bench.representations.spec import LatentSpec

LATENT = LatentSpec("toy", 16_000, 25.0, 8, codebooks=4, cardinality=256)


def test_sizes_are_the_published_ones() -> None:
    specs = control_specs(["chords", "melody", "drums"], LATENT)
    assert [(spec.name, spec.cardinality, spec.dim) for spec in specs] == [
        ("chords", 193, 16),
        ("melody", 54, 16),
        ("drums", 256, 2),
    ]
    assert control_specs(["chords_majmin"], LATENT)[0].cardinality == 25


@pytest.mark.parametrize("control", ["chords", "chords_majmin"])
def test_every_label_of_a_vocabulary_is_its_own_token(control: str) -> None:
    for token, label in enumerate(chord_labels(control)):
        assert chord_token(label, control) == token
        assert chord_label(token, control) == label


@pytest.mark.parametrize(
    ("label", "chords", "majmin"),
    [
        ("A:min9", "A:min7", "A:min"),  # extensions fall off
        ("Gb:maj", "F#:maj", "F#:maj"),  # one spelling per pitch class
        ("C:dim7", "C:dim", "C:min"),
        ("C:hdim7", "C:hdim7", "C:min"),
        ("D:aug", "D:aug", "D:maj"),
        ("G:13", "G:7", "G:maj"),
        ("C:minmaj7", "C:min", "C:min"),
        ("E:sus4", "E:maj", "E:maj"),
        ("C:maj(9)", "C:maj", "C:maj"),
        ("C:maj/3", "C:maj/3", "C:maj"),  # the vocabulary has this bass,
        ("C:min/b3", "C:min", "C:min"),  # but not this one
        ("F", "F:maj", "F:maj"),
        ("N", "N", "N"),
        ("X", "N", "N"),
    ],
)
def test_labels_go_to_the_nearest(label: str, chords: str, majmin: str) -> None:
    assert chord_label(chord_token(label)) == chords
    assert chord_label(chord_token(label, "chords_majmin"), "chords_majmin") == majmin


def test_both_spellings_mean_the_same() -> None:
    for sheet, harte in (
        ("Am7", "A:min7"),
        ("C/E", "C:maj/3"),
        ("F#m7b5", "F#:hdim7"),
        ("Bb", "Bb:maj"),
        ("Em", "E:min"),
    ):
        assert to_harte(sheet) == harte
        assert read_label(sheet) == read_label(harte)
    assert read_label("G7/B").tones == {0, 4, 7, 10}
    assert read_label("G7/B").bass == 4


@pytest.mark.parametrize("label", ["H:maj", "C:mojor", "", "Cmaj77", "C:maj/x", "4"])
def test_an_unknown_label_is_named(label: str) -> None:
    with pytest.raises(UserError, match="unknown chord label") as error:
        chord_token(label)
    assert repr(label) in str(error.value)


def test_unknown_and_repeated_controls() -> None:
    with pytest.raises(UserError, match=r"unknown control 'chord' \(did you mean 'chords'"):
        control_specs(["chord"], LATENT)
    with pytest.raises(UserError, match="give each only once"):
        control_specs(["melody", "melody"], LATENT)
    with pytest.raises(UserError, match="one of chords and chords_majmin"):
        control_specs(["chords", "chords_majmin"], LATENT)
    with pytest.raises(UserError, match="needs codebooks"):
        control_specs(["drums"], LatentSpec("continuous", 16_000, 25.0, 8))


def test_notes_out_of_range_are_none() -> None:
    assert [melody_token(midi) for midi in (42, 43, 95, 96)] == [NO_NOTE, 0, 52, NO_NOTE]


def test_progressions_fill_the_clip_or_follow_a_tempo() -> None:
    shares = parse_chords("C:4 Am:4 F:4 G7:4", seconds=8.0)
    assert shares == [(0.0, 2.0, "C:maj"), (2.0, 4.0, "A:min"), (4.0, 6.0, "F:maj"), (6.0, 8.0, "G:7")]
    beats = parse_chords("C:4 G:7:2", seconds=4.0, tempo=120)
    assert beats == [(0.0, 2.0, "C:maj"), (2.0, 3.0, "G:7"), (3.0, 4.0, "C:maj")]


@pytest.mark.parametrize("text", ["", "C", "C:0", "C:x", "C:-1", ":4", "C:nan", "Q:4"])
def test_a_bad_progression_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="chord"):
        parse_chords(text, seconds=4.0)
