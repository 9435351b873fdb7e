"""Controls as tokens per frame, from annotation and from audio, and their cache."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Annotation, Clip, Corpus, load_corpus
from paradigm_bench.corpora.procedural.composition import Composition
from paradigm_bench.corpora.procedural.render import KIT, drum_stem, render
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig
from paradigm_bench.representations.latents.controls import (
    ABSENT,
    NO_NOTE,
    blur,
    chord_label,
    chord_token,
    control_origin,
    control_specs,
    control_tokens,
    melody_token,
    span_tokens,
    timed_tokens,
)
from paradigm_bench.representations.latents.encoded import encode_corpus
from paradigm_bench.representations.spec import LatentSpec

LATENT = LatentSpec("toy", 16_000, 25.0, 4, codebooks=2, cardinality=8)
NAMES = ("chords_majmin", "melody", "drums", "drums_kit")


@pytest.fixture(scope="module")
def codec() -> BuiltinCodec:
    torch.manual_seed(0)
    made = BuiltinCodec(CodecConfig(width=8, encoder_blocks=1, decoder_blocks=1, dim=4, codebooks=2, cardinality=8))
    made.quantiser.codebooks_KCD.normal_(std=0.3)
    return made


@dataclass(frozen=True)
class Mute:
    """The audio of another clip, under another annotation."""

    clip: Clip
    given: Annotation | None

    def audio(self, sample_rate: int) -> np.ndarray:
        return self.clip.audio(sample_rate)

    def annotation(self) -> Annotation | None:
        return self.given


def annotated(clip: Clip, annotation: Annotation | None) -> Clip:
    return dataclasses.replace(clip, reader=Mute(clip, annotation))


def builtin(count: int = 8) -> list[Clip]:
    return load_corpus("builtin", clips=count).clips("train")


def test_frames_take_what_sounds_in_their_middle() -> None:
    """At 25 Hz a change at 0.10 s falls on frame 2.5: frame 2, whose middle it is, is the first with the new label."""
    chords = span_tokens([(0.0, 0.10, "C"), (0.10, 0.14, "Am7")], "chords", LATENT, 5)
    assert [chord_label(token) for token in chords.tolist()] == ["C:maj", "C:maj", "A:min7", "N", "N"]
    melody = span_tokens([(0.04, 0.20, 60), (0.12, 0.16, 61), (0.16, 0.2, 20)], "melody", LATENT, 6)
    assert melody.tolist() == [NO_NOTE, melody_token(60), melody_token(60), melody_token(61), NO_NOTE, NO_NOTE]


def test_blurring_averages_runs_of_100_ms() -> None:
    """Five frames at the 50 Hz of the paper, two at 25 Hz; the last run takes what is left."""
    z = torch.randn(1, 13, 3, generator=torch.Generator().manual_seed(0))
    runs = {50: [slice(0, 5), slice(5, 10), slice(10, 13)], 25: [slice(i, i + 2) for i in range(0, 13, 2)]}
    for frame_rate, slices in runs.items():
        blurred = blur(z, frame_rate)
        for run in slices:
            mean = z[:, run].mean(dim=1, keepdim=True)
            assert torch.allclose(blurred[:, run], mean.expand(-1, z[:, run].shape[1], -1), rtol=1e-4, atol=1e-5)


def test_the_drum_stem_is_the_one_in_the_mix() -> None:
    """Rendering a clip without its drums and adding the stem gives the mix."""
    clip = next(clip for clip in builtin() if clip.attributes["drums"] == "rock")
    composition: Composition = clip.reader.composition()  # type: ignore[attr-defined]
    without = render(dataclasses.replace(composition, drum_hits=()), 16_000)
    stem = drum_stem(clip.annotation(), clip.seconds, 16_000)
    assert stem is not None
    ended = slice(0, -200)  # the mix fades out in its last 5 ms
    assert np.allclose((without + stem)[ended], clip.audio(16_000)[ended], atol=2 / 32768)
    assert np.abs(stem).max() > 0.2


def test_each_frame_has_the_drums_that_are_hit_in_it() -> None:
    """At 25 Hz frame 3 is 0.12 to 0.16 s. Kick 1, snare 2, closed hat 4, open hat 8, ride 16; a tom is a snare here."""
    hits = ((0.0, 36), (0.0, 42), (0.119, 38), (0.12, 51), (0.159, 46), (0.17, 47), (0.17, 71), (0.3, 36))
    clip, spec = builtin()[0], control_specs(["drums_kit"], LatentSpec("without codebooks", 16_000, 25.0, 4))
    assert (spec[0].cardinality, spec[0].dim) == (32, 16)
    given = annotated(clip, Annotation(drum_hits=hits))
    assert timed_tokens(given, "drums_kit", LATENT, 6).tolist() == [1 + 4, 0, 2, 16 + 8, 2, 0]
    silent = annotated(clip, Annotation(drums="none"))
    assert timed_tokens(silent, "drums_kit", LATENT, 3).tolist() == [0, 0, 0]
    unknown = annotated(clip, Annotation())
    assert timed_tokens(unknown, "drums_kit", LATENT, 3).tolist() == [ABSENT] * 3


def test_drums_kit_tells_apart_every_drum_of_the_built_in_corpus() -> None:
    """Each hit can be read back from the tokens, to the frame: what ``drums`` cannot promise (docs/control.md)."""
    for clip in builtin(20):
        annotation = clip.annotation()
        assert annotation is not None
        tokens = timed_tokens(clip, "drums_kit", LATENT, 100).tolist()
        read = {(t, drum) for t, token in enumerate(tokens) for i, drum in enumerate(KIT) if token >> i & 1}
        assert read == {(int(time * 25 + 1e-6), drum) for time, drum in annotation.drum_hits}


def test_exact_annotation_is_followed(codec: BuiltinCodec) -> None:
    clip = builtin()[0]
    annotation = clip.annotation()
    assert annotation is not None
    tokens = control_tokens(clip, control_specs(NAMES, codec.spec), codec.spec, codec, 100)
    assert list(tokens) == list(NAMES)
    start, end, label = annotation.chords[1]
    middle = int((start + end) / 2 * 25)
    assert tokens["chords_majmin"][middle] == chord_token(label, "chords_majmin")
    start, end, note = annotation.melody[2]
    assert tokens["melody"][int((start + end) / 2 * 25)] == melody_token(note)
    assert all(t.shape == (100,) and t.dtype == torch.int64 and t.min() >= 0 for t in tokens.values())
    assert {control_origin(clip, name) for name in NAMES} == {"annotation"}


def test_what_is_not_annotated_is_heard_or_absent(codec: BuiltinCodec) -> None:
    clip = builtin()[1]
    mute = annotated(clip, None)
    specs = control_specs(NAMES, codec.spec)
    exact, heard = (control_tokens(c, specs, codec.spec, codec, 100) for c in (clip, mute))
    assert (heard["drums"] == ABSENT).all()
    assert (heard["drums_kit"] == ABSENT).all()
    assert (heard["chords_majmin"] == exact["chords_majmin"]).float().mean() > 0.7
    assert (heard["melody"] == exact["melody"]).float().mean() > 0.5
    assert control_origin(mute, "chords") == "templates 2"
    assert {control_origin(mute, name) for name in ("drums", "drums_kit")} == {"none"}


def test_an_unknown_label_names_clip_and_field(codec: BuiltinCodec) -> None:
    clip = annotated(builtin()[0], Annotation(chords=((0.0, 4.0, "C:mojor"),)))
    with pytest.raises(UserError, match=rf"{clip.id}, annotation field chords: unknown chord label 'C:mojor'"):
        control_tokens(clip, control_specs(["chords"], codec.spec), codec.spec, codec, 100)


def test_tokens_are_kept_beside_the_latents(
    codec: BuiltinCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    corpus = Corpus("few", "f0", {"train": builtin(5)})
    plain = encode_corpus(corpus, codec, splits=("train",), progress=False).split("train")
    latents = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("train*")}
    assert plain.controls == {}
    first = encode_corpus(corpus, codec, splits=("train",), progress=False, controls=NAMES).split("train")
    assert latents.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("train*")}.items()
    for clip, *rows in zip(first.clips, *(first.controls[name] for name in NAMES)):
        direct = control_tokens(clip, control_specs(NAMES, codec.spec), codec.spec, codec, len(rows[0]))
        assert all(torch.equal(row.long(), direct[name]) for name, row in zip(NAMES, rows))
    monkeypatch.setattr(
        "paradigm_bench.representations.latents.encode.timed_tokens", None
    )  # nothing may be made any more
    again = encode_corpus(corpus, codec, splits=("train",), progress=False, controls=NAMES).split("train")
    assert all(torch.equal(a, b) for name in NAMES for a, b in zip(first.controls[name], again.controls[name]))


def test_a_damaged_file_is_made_anew(codec: BuiltinCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    corpus = Corpus("few", "f0", {"train": builtin(3)})
    first = encode_corpus(corpus, codec, splits=("train",), progress=False, controls=["melody"]).split("train")
    tokens = [row.clone() for row in first.controls["melody"]]
    path = next(tmp_path.rglob("*melody*.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    again = encode_corpus(corpus, codec, splits=("train",), progress=False, controls=["melody"]).split("train")
    assert all(torch.equal(a, b) for a, b in zip(tokens, again.controls["melody"]))


def test_an_unknown_control_is_named_before_anything_is_made(
    codec: BuiltinCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    corpus = Corpus("few", "f1", {"train": builtin(2)})
    with pytest.raises(UserError, match=r"unknown control 'melodie' \(did you mean 'melody'"):
        encode_corpus(corpus, codec, splits=("train",), progress=False, controls=["melodie"])
    assert not list(tmp_path.rglob("*"))
