"""Encoded corpora: the cache gives back what was encoded, never half of it; normalisation as in Tal et al. 2025 E.2."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Corpus
from paradigm_bench.representations.base import Representation
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig
from paradigm_bench.representations.latents.encoded import encode_corpus
from paradigm_bench.representations.latents.normalisation import latent_stats
from paradigm_bench.representations.spec import LatentSpec

SPLITS = ("train", "valid")


@dataclass(frozen=True)
class NoiseClip:
    id: str
    seconds: float

    def audio(self, sample_rate: int) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        return (0.1 * rng.standard_normal(round(self.seconds * sample_rate))).astype(np.float32)


def noise_corpus(fingerprint: str = "f0") -> Corpus:
    """5 train clips of two lengths, 2 valid, no test."""
    lengths = {"train": (0.4, 0.4, 0.8, 0.4, 0.41), "valid": (0.4, 0.4), "test": ()}
    clips = {split: [NoiseClip(f"{split}{i}", s) for i, s in enumerate(sizes)] for split, sizes in lengths.items()}
    return Corpus("noise", fingerprint, clips)  # type: ignore[arg-type]


class CountingCodec(BuiltinCodec):
    """A small codec that counts how often it encodes."""

    calls = 0

    def encode(self, wav_BN: Tensor) -> Tensor:
        self.calls += 1
        return super().encode(wav_BN)


@pytest.fixture
def codec() -> CountingCodec:
    torch.manual_seed(0)
    made = CountingCodec(CodecConfig(width=8, encoder_blocks=1, decoder_blocks=1, dim=4, codebooks=2, cardinality=8))
    made.quantiser.codebooks_KCD.normal_(std=0.3)
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    return tmp_path / "latents"


def same(a: list[Tensor] | None, b: list[Tensor] | None) -> bool:
    assert a is not None
    assert b is not None
    return len(a) == len(b) and all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b))


def test_latents_are_those_of_each_clip_alone(codec: CountingCodec) -> None:
    train = encode_corpus(noise_corpus(), codec, SPLITS, progress=False).split("train")
    assert [len(z_TD) for z_TD in train.z] == [10, 10, 20, 10, 10]
    for clip, z_TD, codes_KT in zip(train.clips, train.z, train.codes or []):
        alone_BTD = codec.encode(torch.from_numpy(clip.audio(16000))[None])
        torch.testing.assert_close(z_TD, alone_BTD[0].detach(), atol=1e-5, rtol=0)
        assert codes_KT.dtype == torch.int16
        alone_KT = codec.quantise(z_TD[None])[0]  # a code may differ where two entries are equally near
        assert (codes_KT == alone_KT).float().mean() > 0.9
    torch.nn.Linear(4, 1)(train.z[0]).sum().backward()  # usable in training: not an inference tensor


def test_a_second_call_reads_the_cache_and_gives_the_same(codec: CountingCodec) -> None:
    first = encode_corpus(noise_corpus(), codec, SPLITS, progress=False)
    calls = codec.calls
    second = encode_corpus(noise_corpus(), codec, SPLITS, progress=False)
    assert codec.calls == calls
    assert second.spec == first.spec
    for split in ("train", "valid"):
        assert same(first.split(split).z, second.split(split).z)
        assert same(first.split(split).codes, second.split(split).codes)


def test_other_content_and_other_weights_are_encoded_anew(codec: CountingCodec) -> None:
    def encodes(corpus: Corpus) -> bool:
        before = codec.calls
        encode_corpus(corpus, codec, ("train",), progress=False)
        return codec.calls > before

    assert encodes(noise_corpus())
    assert not encodes(noise_corpus())
    assert encodes(noise_corpus("f1"))
    with torch.no_grad():
        codec.encoder.leave.bias += 0.5
    codec.refresh_fingerprint()
    assert encodes(noise_corpus())


@pytest.mark.parametrize("damage", ["truncate", "flip", "no facts", "broken facts"])
def test_a_damaged_cache_is_made_anew(codec: CountingCodec, cache: Path, damage: str) -> None:
    first = encode_corpus(noise_corpus(), codec, ("train",), progress=False)
    (data,), (facts,) = cache.glob("*/train-00000.safetensors"), cache.glob("*/train-00000.json")
    content = data.read_bytes()
    if damage in ("truncate", "flip"):
        data.unlink()  # what ``first`` has mapped stays
        data.write_bytes(content[:-40] if damage == "truncate" else content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no facts":
        facts.unlink()
    else:
        facts.write_text('{"ids": ')
    calls = codec.calls
    second = encode_corpus(noise_corpus(), codec, ("train",), progress=False)
    assert codec.calls > calls
    assert same(first.split("train").z, second.split("train").z)
    assert data.read_bytes() == content


def test_normalisation_by_hand(codec: CountingCodec) -> None:
    # Two clips, T = 2, D = 2. Sd over time: (0, 2) sqrt 2; (1, 1) 0; (10, 14) 2 sqrt 2; (5, 5) 0.
    z = [torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([[10.0, 5.0], [14.0, 5.0]])]
    stats = latent_stats(z)
    values = [0, 1, 2, 1, 10, 5, 14, 5]
    mean = sum(values) / 8
    assert stats.mean == pytest.approx(mean)
    assert stats.std_paper == pytest.approx(3 * math.sqrt(2) / 4)
    assert stats.std_global == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / 7))

    paper = encode_corpus(noise_corpus(), codec, SPLITS, progress=False)
    both = encode_corpus(noise_corpus(), codec, SPLITS, progress=False, normalisation="global")
    assert (paper.spec.std, paper.spec.normalisation) == (paper.stats.std_paper, "paper")
    assert (both.spec.std, both.spec.normalisation) == (both.stats.std_global, "global")
    normalised = torch.cat([both.spec.normalise(z_TD) for z_TD in both.split("train").z])
    assert normalised.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert normalised.std().item() == pytest.approx(1.0, abs=1e-5)


def test_raw_latents_on_request(codec: CountingCodec) -> None:
    raw = encode_corpus(noise_corpus(), codec, ("train",), progress=False, normalisation="none")
    normalised = encode_corpus(noise_corpus(), codec, ("train",), progress=False)
    z = raw.split("train").z[0]
    assert torch.equal(raw.spec.normalise(z), z)
    assert not torch.equal(normalised.spec.normalise(z), z)
    assert raw.stats == normalised.stats  # measured all the same


class Averages(Representation):
    """Continuous only: each frame is the mean of 4 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = LatentSpec("averages", 100, 25.0, 1)
        self.fingerprint = "averages"
        self.gain = torch.nn.Parameter(torch.ones(1))

    def encode(self, wav_BN: Tensor) -> Tensor:
        return wav_BN.reshape(len(wav_BN), -1, 4).mean(-1, keepdim=True) * self.gain


def test_without_codebooks_there_are_no_codes() -> None:
    store = encode_corpus(noise_corpus(), Averages(), ("valid",), progress=False)
    assert store.split("valid").codes is None
    assert [z_TD.shape for z_TD in store.split("valid").z] == [(10, 1), (10, 1)]
    with pytest.raises(UserError, match="'test' was not encoded"):
        store.split("test")
