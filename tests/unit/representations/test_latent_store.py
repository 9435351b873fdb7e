"""The store in shards: the same numbers as in one piece, any number of writers, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from training_toys import SPEC, ToyText

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, Corpus, load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.base import Representation
from paradigm_bench.representations.latents.encode import fill_shard
from paradigm_bench.representations.latents.encoded import EncodedSplit, encode_corpus
from paradigm_bench.representations.latents.normalisation import combine_moments, latent_stats, moments
from paradigm_bench.representations.latents.store import StoreLayout, create_manifest, layout_of, update_manifest
from paradigm_bench.training.data import BatchStream

CLIPS, SHARD = 22, 10


@pytest.fixture(scope="module")
def codec() -> Representation:
    return load_representation()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Built-in clips of 4 s, of which the encoder takes 10 at once; read once, then held."""
    clips = load_corpus("builtin", clips=CLIPS).clips("train")
    return Corpus("few", "f0", {"train": [dataclasses.replace(clip, reader=Held(clip)) for clip in clips]})


class Held:
    """A clip's samples in memory."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.samples = clip, clip.audio(16_000)

    def audio(self, sample_rate: int) -> np.ndarray:
        assert sample_rate == 16_000
        return self.samples

    def annotation(self) -> object:
        return self.clip.annotation()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def layout(corpus: Corpus, codec: Representation, cache: Path) -> StoreLayout:
    made = layout_of(corpus, codec, clips_per_shard=SHARD)
    create_manifest(made)
    return made


class Words(ToyText):
    """Captions as numbers of letters."""

    def encode(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        return super().encode([str(len(caption) % 90) for caption in captions])


def test_shards_give_what_one_piece_gave(corpus: Corpus, codec: Representation, layout: StoreLayout) -> None:
    """To the last digit: latents, codes, normalisation, and with them a training run's data and identity."""
    clips = corpus.clips("train")
    with torch.no_grad():
        pieces = [
            codec.encode(torch.from_numpy(np.stack([clip.audio(16_000) for clip in clips[at : at + 10]])))
            for at in range(0, CLIPS, 10)
        ]
    z = [z_TD for piece in pieces for z_TD in piece]
    codes = [codes_KT.to(torch.int16) for piece in pieces for codes_KT in codec.quantise(piece)]
    mean = torch.cat(z).double().mean().item()
    std = torch.stack([z_TD.double().std(dim=0) for z_TD in z]).mean().item()

    store = encode_corpus(corpus, codec, ("train",), progress=False)
    split = store.split("train")
    assert len(layout.shards("train")) == 3
    assert all(torch.equal(a, b) for a, b in zip(split.z, z, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(split.codes or (), codes, strict=True))
    assert (store.spec.mean, store.spec.std) == (mean, std)

    whole = EncodedSplit(clips, [len(z_TD) for z_TD in z], z, codes)
    spec = dataclasses.replace(SPEC, seconds=2.0)
    one, other = (BatchStream(s, store.spec, Words(), spec) for s in (whole, split))  # type: ignore[arg-type]
    assert one.fingerprint == other.fingerprint
    a, b = one.batch(3)[0], other.batch(3)[0]
    assert torch.equal(a.latents_BTD, b.latents_BTD)
    assert torch.equal(a.codes_BKT, b.codes_BKT)


def test_a_batch_reads_its_crops_alone(corpus: Corpus, codec: Representation, layout: StoreLayout) -> None:
    split = encode_corpus(corpus, codec, ("train",), progress=False).split("train")
    crop = split.z[13][20:30]
    held = split.z[14].untyped_storage()
    assert crop.untyped_storage().data_ptr() == held.data_ptr()  # views of one mapped file, not copies
    assert split.z._open.keys() == {1}  # type: ignore[attr-defined]
    assert len(split.z[:3]) == 3
    with pytest.raises(IndexError):
        split.z[CLIPS]


def test_moments_of_shards_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    z = [3 + 2 * torch.randn(n, 4, generator=generator) * (i + 1) for i, n in enumerate((5, 1, 40, 7, 2))]
    parts, whole = combine_moments([moments(z[:2]), moments(z[2:3]), moments(z[3:])]), latent_stats(z)
    for part, expected in zip(dataclasses.astuple(parts), dataclasses.astuple(whole)):
        assert part == pytest.approx(expected, rel=1e-12)


def test_large_corpora_are_measured_by_their_moments(
    corpus: Corpus, codec: Representation, layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("paradigm_bench.representations.latents.store.ONE_PASS", 0)
        patch.setattr("paradigm_bench.representations.latents.store.latent_stats", None)
        by_moments = encode_corpus(corpus, codec, ("train",), progress=False).stats
    layout.manifest.unlink()  # which remembers
    create_manifest(layout)
    in_one_go = encode_corpus(corpus, codec, ("train",), progress=False).stats
    assert by_moments != in_one_go
    assert by_moments.std_paper == pytest.approx(in_one_go.std_paper, rel=1e-12)
    assert by_moments.mean == pytest.approx(in_one_go.mean, rel=1e-12)


def test_tasks_share_the_shards_and_a_stopped_one_is_gone_on_with(layout: StoreLayout, codec: Representation) -> None:
    shares = [layout.shard_ids(["train"], turn, 2) for turn in (0, 1)]
    assert sorted(shares[0] + shares[1]) == [("train", 0), ("train", 1), ("train", 2)]
    assert [layout.shard_ids(["train"], turn, 3) for turn in range(3)] == [[("train", i)] for i in range(3)]

    def stop(what: str, clips: int) -> None:
        raise KeyboardInterrupt

    first = fill_shard(layout, ("train", 0), codec, ["melody"])
    assert first.audio == {"latents": 40.0, "melody": 40.0}
    assert first.cpu["latents"] > 0
    with pytest.raises(KeyboardInterrupt):
        fill_shard(layout, ("train", 1), codec, ["melody"], advance=stop)
    files = {path.name for path in layout.folder.iterdir()}
    assert not {name for name in files if name.startswith((".", "train-00001"))}
    again = fill_shard(layout, ("train", 0), codec, ["melody"], thorough=True)
    assert (again.audio, again.skipped) == ({}, 2)
    assert fill_shard(layout, ("train", 0), codec, ["chords"]).audio == {"chords": 40.0}


def test_two_writers_of_one_shard_do_no_harm(layout: StoreLayout, codec: Representation) -> None:
    shard = layout.shards("train")[2]
    fill_shard(layout, ("train", 2), codec, [])
    reader = shard.tensor("z_MD")
    before = reader.clone()
    shard.path.with_suffix(".json").unlink()  # the other writer has come between a file and its facts
    fill_shard(layout, ("train", 2), codec, [])
    assert torch.equal(reader, before)  # who was reading goes on
    assert torch.equal(shard.tensor("z_MD"), before)
    assert shard.is_good(thorough=True)


def test_a_copied_store_is_used_as_it_is(
    corpus: Corpus, codec: Representation, layout: StoreLayout, cache: Path
) -> None:
    encode_corpus(corpus, codec, ("train",), progress=False)
    old = layout.folder.with_name("old")
    layout.folder.rename(old)
    shutil.copytree(old, layout.folder, copy_function=shutil.copyfile)  # without times of change
    assert all(shard.is_good() for shard in layout.shards("train"))
    content = layout.manifest.read_text()
    update_manifest(layout)
    assert layout.manifest.read_text() == content


def test_half_precision_is_a_store_of_its_own(corpus: Corpus, codec: Representation, layout: StoreLayout) -> None:
    exact = encode_corpus(corpus, codec, ("train",), progress=False).split("train")
    half = encode_corpus(corpus, codec, ("train",), progress=False, dtype="float16").split("train")
    assert half.z[3].dtype == torch.float16
    assert torch.equal(half.z[3], exact.z[3].half())
    assert torch.equal(half.codes[3], exact.codes[3])  # type: ignore[index]
    with pytest.raises(UserError, match=r"'fp16'.*known: float32, float16, bfloat16"):
        layout_of(corpus, codec, "fp16")


def test_the_manifest_says_what_is_there(corpus: Corpus, codec: Representation, layout: StoreLayout) -> None:
    fill_shard(layout, ("train", 0), codec, [])
    update_manifest(layout)
    assert json.loads(layout.manifest.read_text())["splits"] == {}  # not complete
    store = encode_corpus(corpus, codec, ("train",), progress=False, controls=["melody"])
    told = json.loads(layout.manifest.read_text())
    assert told["corpus"]["fingerprint"] == "f0"
    assert (told["clips"], told["clips_per_shard"], told["frame_rate_hz"], told["dtype"]) == (
        CLIPS,
        10,
        25.0,
        "float32",
    )
    latents, tokens = told["splits"]["train"].values()
    assert [(row["name"], row["clips"], row["frames"]) for row in latents] == [
        ("train-00000", 10, 1000), ("train-00001", 10, 1000), ("train-00002", 2, 200),
    ]  # fmt: skip
    assert [row["bytes"] for row in latents] == [os.path.getsize(shard.path) for shard in layout.shards("train")]
    assert [row["frames"] for row in tokens] == [1000, 1000, 200]
    assert told["normalisation"]["mean"] == store.stats.mean


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"corpus": {"name": "songs", "fingerprint": "f9"}}, r"its corpus is songs \(f9\), expected few \(f0\)"),
        ({"frame_rate_hz": 50.0}, "its frame_rate_hz is 50.0, expected 25.0"),
        ({"clips_per_shard": "ten"}, "its clips_per_shard is 'ten'"),
    ],
)
def test_a_manifest_of_something_else_is_refused(
    corpus: Corpus, codec: Representation, layout: StoreLayout, change: dict[str, object], complaint: str
) -> None:
    layout.manifest.write_text(json.dumps({**json.loads(layout.manifest.read_text()), **change}))
    with pytest.raises(UserError, match=complaint):
        encode_corpus(corpus, codec, ("train",), progress=False)


def test_another_size_of_shards_is_refused(corpus: Corpus, codec: Representation, layout: StoreLayout) -> None:
    assert layout_of(corpus, codec).clips_per_shard == SHARD
    with pytest.raises(UserError, match="its shards have 10 clips, not 5"):
        layout_of(corpus, codec, clips_per_shard=5)


def test_silent_clips_are_named(codec: Representation, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = load_corpus("builtin", clips=1).clips("train")[0]
    mute = dataclasses.replace(clip, id="hush", reader=Held(clip))
    mute.reader.samples = np.zeros_like(mute.reader.samples)  # type: ignore[attr-defined]
    store = encode_corpus(Corpus("two", "f0", {"train": [clip, mute]}), codec, ("train",), progress=False)
    assert "note: hush of train-00000: silent" in capsys.readouterr().err
    assert len(store.split("train")) == 2


def test_a_full_disk_is_one_line_and_keeps_what_is_whole(
    corpus: Corpus, codec: Representation, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(small_disk))
    layout = layout_of(corpus, codec, clips_per_shard=3)  # 13 kB a clip, and the disk has 64
    create_manifest(layout)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device.*; free space or choose another"):
        encode_corpus(corpus, codec, ("train",), progress=False)
    assert layout.shards("train")[0].is_good(thorough=True)
    assert {path.name for path in layout.folder.iterdir()} == {
        "manifest.json", "train-00000.safetensors", "train-00000.json",
    }  # fmt: skip
